import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { findPython } from '../../scripts/lib/project.js';
import { need, root, run, tempDir, typescript } from '../support/needs.js';

/** CI runs this twice: Keras's models are made once and kept in this folder, and backends that ran do not run again. */
const kept = process.env.BITNIBBLE_SWEEP;
const folder = kept ?? tempDir();
const done = path.join(folder, 'done');
const isAgain = kept !== undefined && existsSync(done);
const keras = need(test, 'keras');
const native = need(test, 'keras', 'tfjs-node');

async function sweep(backend: string, expected: string) {
  const args = ['--import', typescript, path.join(root, 'test/support/tfjs-sweep.ts'), folder, backend];
  const { status, stdout, stderr } = await run(process.execPath, args, { timeout: 600_000 });
  assert.is(status, 0, stderr);
  const line = stdout.split('\n').find((text) => text.startsWith('{"backend"')) ?? '';
  const result = JSON.parse(line) as { backend: string; compared: number; faults: string[] };
  assert.is(result.backend, expected);
  assert.ok(result.compared > 2600, `${result.compared} outputs`);
  assert.equal(result.faults, []);
}

keras('Keras makes the models: every layer with a grid of its options', async () => {
  if (isAgain) return;
  const script = path.join(root, 'test/slow/tfjs_sweep.py');
  const { status, stderr } = await run(findPython(), [script, folder], { timeout: 900_000 });
  assert.is(status, 0, stderr);
});

if (!isAgain) {
  keras('every option of every layer is computed as Keras does on the WebAssembly backend', () =>
    sweep('wasm', 'wasm'),
  );

  keras('every option of every layer is computed as Keras does on the cpu backend', async () => {
    await sweep('cpu', 'cpu');
    writeFileSync(done, '');
  });
}

native('every option of every layer is computed as Keras does on tfjs-node', () =>
  sweep('node', 'tensorflow'),
);

test.run();
