// A kernel of 3 GiB, larger than HDF5's heap and the memory that quantizing it may take.
import { statSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { root, run, tempDir } from '../support/needs.js';

const folder = tempDir();
const child = (...args: string[]) =>
  run(process.execPath, ['--import', 'tsx', path.join(root, 'test/support/large-model.ts'), folder, ...args]);

test('3 GiB of weights are quantized in less than 600 MB of memory', async () => {
  const made = await child('make');
  assert.is(made.status, 0, made.stderr);
  assert.ok(statSync(path.join(folder, 'large.h5')).size < 2 ** 24);
  for (const [scheme, scale, bytes] of [
    ['int4', 'absmax', 2 ** 32 / 8],
    ['int4', 'lsq', 2 ** 32 / 8],
    ['int2', 'lsq', 2 ** 32 / 16],
    ['binary', 'mean', 2 ** 32 / 32],
  ] as const) {
    const { status, stdout, stderr } = await child(scheme, scale);
    assert.is(status, 0, stderr);
    const { megabytes, steps, parameters, maxError } = JSON.parse(stdout);
    assert.is(parameters, 32_768 * 24_576);
    assert.ok(megabytes < 600, `${scheme}, ${scale}: ${megabytes} MB`);
    assert.ok(steps > 100, `${steps} steps of progress`);
    // Half a step of the largest scale, amax / 7 / 2: least squares finds it, all weights lie on its levels.
    if (scheme === 'int4') assert.ok(maxError <= 7 / 16 / 14, String(maxError));
    assert.ok(statSync(path.join(folder, 'large.safetensors')).size < bytes);
  }
});

test.run();
