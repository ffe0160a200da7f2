// Stored ranges instead of measured ones: the bits that the reference gives, saturation and NaN included; what a network takes.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { arrayDataset } from '../../src/data/index.js';
import { loadKernels } from '../../src/kernels/index.js';
import { openPacked, packedBytes } from '../../src/packed/index.js';
import { readRanges, withRanges } from '../../src/packed/ranges.js';
import { storeRanges } from '../../src/pipeline/calibrate/ranges.js';
import { loadNetwork, NotFiniteError, whyNotRunnable } from '../../src/runtime/index.js';
import { sizeOf } from '../../src/shape.js';
import { everyName, quantized } from '../tfjs/support.js';
import { generator } from './support.js';

const kernels = await loadKernels();
const SIZE = 32 * 32 * 3;

async function stored(scale = 1) {
  const { packed } = await quantized('cifar10', kernels);
  const values = generator(11).floats(SIZE * 4, scale);
  const dataset = arrayDataset({ name: 'samples', inputShape: [32, 32, 3], values });
  const made = await storeRanges(packed, { dataset });
  if (!('model' in made)) throw new Error(made.reason);
  return { ...made, packed, values };
}

test('the largest of all samples is stored, by the names of layers and inputs', async () => {
  const { model, tensors, packed, values } = await stored();
  const ranges = readRanges(openPacked(packedBytes(model), kernels));
  assert.is(ranges.size, tensors);
  assert.ok(tensors > 3);
  const network = await loadNetwork(packed, { measures: 'all' });
  const input = network.inputs[0]?.name as string;
  const most = values.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  assert.is(ranges.get(input), most);
  const layers = new Set(network.summary().layers.map(({ layer }) => layer));
  for (const name of ranges.keys()) assert.ok(name === input || layers.has(name), name);
  const each = [0, 1, 2, 3].map((i) => network.largest(values.subarray(i * SIZE, (i + 1) * SIZE)));
  for (const [name, largest] of ranges)
    assert.is(largest, Math.max(...each.map((own) => own.get(name) as number)));
});

test('samples within the ranges give nearly the same, and the bits of the reference; so do those beyond', async () => {
  const { model, packed } = await stored();
  const options = { ranges: 'stored' } as const;
  const simd = await loadNetwork(model, options);
  const small = await loadNetwork(model, { ...options, weights: 'packed' });
  const reference = await loadNetwork(model, { ...options, backend: 'reference' });
  const measured = await loadNetwork(packed);
  const near = generator(12).floats(SIZE, 0.9);
  const beyond = generator(13).floats(SIZE, 3);
  const strange = near.slice();
  strange[7] = Number.NaN;
  strange[9] = Number.POSITIVE_INFINITY;
  for (const [x, isNear] of [
    [near, true],
    [beyond, false],
    [strange, false],
  ] as const) {
    const [a, b, c] = [simd.run(x), reference.run(x), small.run(x)];
    assert.equal([...a], [...b]);
    assert.equal([...a], [...c]);
    assert.ok(a.every(Number.isFinite));
    const own = isNear ? measured.run(x) : undefined;
    own?.forEach((v, i) => {
      assert.ok(Math.abs(v - (a[i] as number)) < 1e-3, `${v} and ${a[i]}`);
    });
  }
  // What is larger than the range is the range: the input saturates.
  const edge = readRanges(model).get(simd.inputs[0]?.name as string) as number;
  const cut = beyond.map((v) => Math.max(-edge, Math.min(edge, v)));
  assert.equal([...simd.run(beyond)], [...simd.run(cut)]);
  try {
    measured.run(strange);
    assert.unreachable();
  } catch (error) {
    assert.instance(error, NotFiniteError);
  }
});

test('a range of zero, and tensors that are not named, are measured', async () => {
  const { packed } = await quantized('cifar10', kernels);
  const x = generator(14).floats(SIZE);
  const plain = (await loadNetwork(packed)).run(x);
  const input = (await loadNetwork(packed)).inputs[0]?.name as string;
  for (const ranges of [new Map(), new Map([[input, 0]]), new Map([['nobody', 3]])]) {
    const network = await loadNetwork(withRanges(packed, ranges), { ranges: 'stored' });
    assert.equal([...network.run(x)], [...plain]);
  }
  try {
    await loadNetwork(packed, { ranges: 'both' as never });
    assert.unreachable();
  } catch (error) {
    assert.match((error as Error).message, /"ranges" expected "sample" or "stored", got "both"/);
  }
});

test('a summary has every layer with its multiply-adds and bytes, and milliseconds once measured', async () => {
  const { packed } = await quantized('cifar10', kernels);
  const network = await loadNetwork(packed);
  const before = network.summary();
  assert.is(before.milliseconds, undefined);
  const convolution = before.layers.find(({ className }) => className === 'Conv2D');
  const weight = packed.weights.find(({ layer, name }) => layer === convolution?.layer && name === 'kernel');
  assert.is(convolution?.macs, 32 * 32 * sizeOf(weight?.shape ?? []));
  assert.ok(convolution && convolution.kernels.length === 1 && convolution.bytes > 0);
  assert.is(
    before.layers.reduce((sum, { bytes }) => sum + bytes, 0),
    before.bytes.weights,
  );
  assert.is(
    before.layers.reduce((sum, { macs }) => sum + macs, 0),
    before.macs,
  );
  const x = generator(15).floats(SIZE);
  const after = network.measure(x, 3);
  assert.ok(Number(after.milliseconds) > 0);
  const total = after.layers.reduce((sum, { milliseconds }) => sum + Number(milliseconds), 0);
  assert.ok(total > 0 && total < 20 * Number(after.milliseconds));
  assert.equal(network.summary(), after);
  for (const runs of [0, 1.5, 1e7]) assert.throws(() => network.measure(x, runs), /"runs" expected/);
  assert.throws(() => network.measure(new Float32Array(2 * SIZE), 1), /"inputs" expected one sample, got 2/);
});

test('what cannot be run is told beforehand, in the words of loading, for every fixture', async () => {
  let refused = 0;
  for (const name of everyName) {
    const { float, packed } = await quantized(name, kernels);
    for (const model of [float, packed]) {
      const reason = await whyNotRunnable(model);
      let own: string | undefined;
      try {
        await loadNetwork(model);
      } catch (error) {
        own = (error as Error).message;
      }
      // Lengths that are not fixed are for the caller to say.
      if (own?.includes('a shape with fixed lengths')) continue;
      assert.is(own?.replace(`${model.file}: `, ''), reason, name);
      if (reason !== undefined) refused++;
    }
    float.close();
  }
  assert.ok(refused > 0);
});

test.run();
