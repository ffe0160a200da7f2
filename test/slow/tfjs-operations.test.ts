import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { findPython } from '../../scripts/lib/project.js';
import { need, root, run, tempDir, typescript } from '../support/needs.js';

const folder = tempDir();
const keras = need(test, 'keras');
const native = need(test, 'keras', 'tfjs-node');

async function compute(backend: string, expected: string) {
  const args = ['--import', typescript, path.join(root, 'test/support/tfjs-operations.ts'), folder, backend];
  const { status, stdout, stderr } = await run(process.execPath, args, { timeout: 300_000 });
  assert.is(status, 0, stderr);
  const line = stdout.split('\n').find((text) => text.startsWith('{"backend"')) ?? '';
  const result = JSON.parse(line) as { backend: string; compared: number; faults: string[] };
  assert.is(result.backend, expected);
  assert.ok(result.compared > 450, `${result.compared} operations`);
  assert.equal(result.faults, []);
}

keras('Keras runs every operation with a choice of attributes', async () => {
  const script = path.join(root, 'test/slow/tfjs_operations.py');
  const { status, stderr } = await run(findPython(), [script, folder], { timeout: 600_000 });
  assert.is(status, 0, stderr);
});

keras('operations are computed as Keras does on the WebAssembly backend', () => compute('wasm', 'wasm'));
keras('operations are computed as Keras does on the cpu backend', () => compute('cpu', 'cpu'));
native('operations are computed as Keras does on tfjs-node', () => compute('node', 'tensorflow'));

test.run();
