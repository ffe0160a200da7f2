// What a page of convolutions loads of bitnibble/runtime: two files of code, with the kernels in them. All else waits until it is needed.
import path from 'node:path';
import { build } from 'esbuild';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { root } from '../support/needs.js';

test('esbuild leaves what all chunks share in one piece, with the kernels of plain networks', async () => {
  const { metafile } = await build({
    entryPoints: { runtime: path.join(root, 'src/runtime/index.ts') },
    ...{ outdir: 'out', absWorkingDir: root, bundle: true, splitting: true, format: 'esm', target: 'es2022' },
    ...{ metafile: true, write: false, logLevel: 'error' },
  });
  const seen = new Set<string>();
  const load = (file: string): void => {
    if (seen.has(file)) return;
    seen.add(file);
    for (const { path: to, kind } of metafile.outputs[file]?.imports ?? [])
      if (kind === 'import-statement') load(to);
  };
  load('out/runtime.js');
  assert.is(seen.size, 2, [...seen].join(', '));
  const inputs = [...seen].flatMap((file) => Object.keys(metafile.outputs[file]?.inputs ?? {}));
  assert.ok(inputs.includes('src/kernels/embedded-runtime-plain.ts'), 'the kernels are in them');
  for (const other of [
    'kernels/embedded-runtime.ts',
    'runtime/rows-all.ts',
    'runtime/crew.ts',
    'network/open.ts',
  ])
    assert.not(inputs.includes(`src/${other}`), other);
});

test.run();
