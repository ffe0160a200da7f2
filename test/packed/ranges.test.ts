// Ranges of activations in a packed file: written, read, refused field by field, ignored by who does not use them.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadKernels } from '../../src/kernels/index.js';
import type { ModelInfo } from '../../src/model.js';
import { openPacked, packedBytes } from '../../src/packed/index.js';
import { readRanges, withRanges } from '../../src/packed/ranges.js';
import { quantized } from '../tfjs/support.js';

const kernels = await loadKernels();

test('ranges go into a packed file and come back, and nothing else changes', async () => {
  const { float, packed } = await quantized('conv1d', kernels);
  const ranges = new Map([
    ['input', 1],
    ['conv1d', 3.5],
    ['', 0],
  ]);
  const bytes = packedBytes(withRanges(packed, ranges));
  const back = openPacked(bytes, kernels, 'x.safetensors');
  assert.equal([...readRanges(back)], [...ranges]);
  assert.equal(
    back.weights.map(({ id }) => [...back.read(id)]),
    packed.weights.map(({ id }) => [...packed.read(id)]),
  );
  assert.equal(packedBytes(back), bytes);
  const without = openPacked(packedBytes(packed), kernels, 'x.safetensors');
  assert.is(readRanges(without).size, 0);
  assert.is(without.activationRanges, undefined);
  float.close();
});

test('every field is checked by type and bound', () => {
  const read = (activationRanges: string) =>
    readRanges({ file: 'x.safetensors', activationRanges } as unknown as ModelInfo);
  const long = JSON.stringify('n'.repeat(4097));
  const many = JSON.stringify(Array.from({ length: 65_537 }, (_, i) => [`n${i}`, 1]));
  for (const [text, pattern] of [
    ['{', /activation_ranges in the metadata/],
    ['{}', /is not a list/],
    ['7', /is not a list/],
    [many, /65537 tensors, expected at most 65536/],
    ['["ab"]', /not a name and a number/],
    ['[["a"]]', /not a name and a number/],
    ['[["a", 1, 2]]', /not a name and a number/],
    ['[[1, 1]]', /not a name and a number/],
    ['[[["a"], 1]]', /not a name and a number/],
    [`[[${long}, 1]]`, /not a name and a number/],
    ['[["a", "1"]]', /no number from 0 to the largest float32 for a/],
    ['[["a", null]]', /no number/],
    ['[["a", -1]]', /no number/],
    ['[["a", 1e39]]', /no number/],
    // The next float64 after the largest float32.
    ['[["a", 3.402823466385289e38]]', /no number/],
    ['[["a", 1e999]]', /no number/],
    ['[["a", 1], ["a", 1]]', /lists a twice/],
  ] as const) {
    try {
      read(text);
    } catch (error) {
      const { code, message } = error as { code?: string; message: string };
      assert.is(code, 'corrupt-file', message);
      assert.match(message, pattern);
      assert.match(message, 'x.safetensors');
      continue;
    }
    assert.unreachable(text.slice(0, 60));
  }
  assert.is(read(JSON.stringify(Array.from({ length: 65_536 }, (_, i) => [`n${i}`, 1]))).size, 65_536);
  assert.is(read(`[[${JSON.stringify('n'.repeat(4096))}, 1]]`).size, 1);
  assert.equal([...read('[["__proto__", 3.4028234663852886e38]]')], [['__proto__', 3.4028234663852886e38]]);
});

test.run();
