// The option `threads` in headless Chromium, in a page and in a module worker: the bits of one thread where the page is isolated, one
// thread and the reason where it is not.
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { build } from 'esbuild';
import type { Browser } from 'playwright-core';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { loadKernels } from '../../src/kernels/index.js';
import { openKeras } from '../../src/node/models.js';
import { packedBytes } from '../../src/packed/index.js';
import { quantizeModel } from '../../src/pipeline/quantize.js';
import { need, root, tempDir } from '../support/needs.js';
import type { ThreadedRun } from './hosts/threads.js';
import { launch, resultOf } from './support/chromium.js';
import { type StaticServer, serve } from './support/server.js';

const test = suite('threads in Chromium');
const withChromium = need(test, 'chromium');
let server: StaticServer | undefined;
let browser: Browser | undefined;

test.before(async () => {
  const folder = tempDir();
  const kernels = await loadKernels();
  for (const name of ['digits', 'mobilenet']) {
    const model = await openKeras(path.join(root, 'examples', name, `${name}.h5`));
    const { model: packed } = quantizeModel(model, { default: { scheme: 'int4' } }, { kernels });
    writeFileSync(path.join(folder, `${name}.safetensors`), packedBytes(packed));
    model.close();
  }
  await build({
    entryPoints: {
      threads: path.join(root, 'test/runtimes/hosts/threads.ts'),
      // Beside the chunk that starts it, as docs/RUNTIME.md says.
      'thread-worker': path.join(root, 'src/runtime/thread-worker.ts'),
    },
    ...{
      outdir: folder,
      bundle: true,
      splitting: true,
      format: 'esm',
      target: 'es2022',
      logLevel: 'warning',
    },
  });
  const html = '<!doctype html><meta charset="utf-8"><title>Test</title>';
  writeFileSync(path.join(folder, 'threads.html'), `${html}<script type="module" src="threads.js"></script>`);
  server = await serve(folder);
});
test.after(async () => {
  server?.close();
  await browser?.close();
});

for (const policy of ['isolated', 'plain'] as const)
  for (const query of ['', '?worker'])
    withChromium(`${query ? 'module worker' : 'page'}, ${policy}`, async ({ chromium }) => {
      browser ??= await launch(chromium);
      const url = `${server?.origin}/${policy}/threads.html${query}`;
      const runs = await resultOf<readonly ThreadedRun[]>(browser, url, 'runs');
      assert.is(runs.length, 8);
      for (const { file, weights, asked, threads, different, outputs } of runs) {
        const what = `${file}, ${weights}, ${asked} threads`;
        assert.is(different, 0, what);
        assert.ok(outputs >= 60, what);
        const { count, reason = '', helped = 0 } = threads;
        assert.is(count, policy === 'isolated' ? asked : 1, `${what}: ${reason}`);
        if (policy === 'isolated') assert.ok(helped > 0, `${what}: no thread has helped`);
        else assert.match(reason, /not isolated/, what);
      }
    });

test.run();
