// In slices or whole: the same codes, scales and values.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { BitnibbleError } from '../../src/errors.js';
import { boxes } from '../../src/keras/boxes.js';
import { loadKernels } from '../../src/kernels/index.js';
import { dequantizeTensor, ENCODERS, quantizeTensor } from '../../src/schemes/quantize.js';
import { decodedSlices, quantizeInSlices } from '../../src/schemes/slices.js';
import type { QuantizeOptions, ScaleRule, SchemeName } from '../../src/schemes/types.js';
import { sizeOf } from '../../src/shape.js';

const kernels = await loadKernels();

function random(size: number): Float32Array {
  let seed = 12345;
  return Float32Array.from({ length: size }, (_, i) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return i % 97 === 0 ? 0 : Math.fround((seed / 2 ** 31 - 1) * (1 + (i % 5)));
  });
}

const SHAPES: [shape: number[], axes: number[]][] = [
  [[57, 33], [1]],
  [[57, 33], [0]],
  [[3, 3, 7, 11], [3]],
  [[3, 3, 11, 7], [2]],
  [
    [3, 3, 7, 5],
    [2, 3],
  ],
  [[300, 33], [1]],
  [[40, 6, 64], [1]],
  [[1, 4097], [1]],
  [[4097, 1], [0]],
  [[1, 1, 640, 16], [3]],
  [[5000], [0]],
];
const GRAINS: Pick<QuantizeOptions, 'granularity' | 'groupSize'>[] = [
  { granularity: 'tensor' },
  { granularity: 'channel' },
  { granularity: 'group', groupSize: 32 },
  { granularity: 'group', groupSize: 6 },
];

const RULES = (Object.keys(ENCODERS) as SchemeName[]).flatMap((scheme) =>
  (Object.keys(ENCODERS[scheme].rules) as ScaleRule[]).map((scale) => [scheme, scale] as const),
);

for (const [scheme, scale] of RULES) {
  for (const scaleDtype of ['F32', 'F16'] as const) {
    test(`${scheme}, ${scale}, ${scaleDtype} scales: every cut gives what the whole tensor gives`, () => {
      for (const [shape, axes] of SHAPES) {
        const weights = random(sizeOf(shape));
        for (const grain of GRAINS) {
          const options = { scheme, scale, scaleDtype, axes, ...grain };
          const whole = quantizeTensor(kernels, weights, shape, options);
          const values = dequantizeTensor(kernels, whole);
          for (const most of [1, 64, 500, 1e6]) {
            const what = `[${shape}] ${axes} ${grain.granularity} ${grain.groupSize ?? ''} by ${most}`;
            const read = (from: number, to: number) => weights.slice(from, to);
            const shares: number[] = [];
            const onSlice = (share: number) => shares.push(share);
            const sliced = quantizeInSlices(kernels, read, shape, options, 't', onSlice, most);
            const { tensor, difference } = sliced;
            assert.ok(shares.every((share, i) => share <= 1 && share >= (shares[i - 1] ?? 0)));
            assert.is(shares.at(-1), 1, what);
            assert.equal(tensor.codes, whole.codes, what);
            assert.equal({ ...tensor, codes: 0, scales: 0 }, { ...whole, codes: 0, scales: 0 });
            assert.equal(tensor.scales, whole.scales, what);
            const pieces = new Float32Array(weights.length);
            let at = 0;
            for (const { from, values: piece } of decodedSlices(kernels, tensor, most)) {
              assert.is(from, at, what);
              pieces.set(piece, from);
              at += piece.length;
            }
            assert.is(at, weights.length);
            assert.equal(pieces, dequantizeTensor(kernels, tensor), what);
            const direct = kernels.difference(weights, values);
            assert.ok(Math.abs(difference.noise - direct.noise) <= 1e-5 * direct.noise, what);
            assert.is(difference.maxError, direct.maxError, what);
          }
        }
      }
    });
  }
}

test('scale none: signs alone', () => {
  const weights = random(1000);
  const read = (from: number, to: number) => weights.slice(from, to);
  const { tensor } = quantizeInSlices(
    kernels,
    read,
    [10, 100],
    { scheme: 'binary', scale: 'none' },
    't',
    undefined,
    64,
  );
  assert.equal(tensor.scales, new Float32Array(100).fill(1));
  assert.equal(tensor.codes, kernels.packSign(weights));
});

test('a weight that is not finite is named with its index in the tensor', () => {
  const weights = random(1000);
  weights[777] = Number.NaN;
  const read = (from: number, to: number) => weights.slice(from, to);
  for (const [scheme, scale] of RULES) {
    for (const grain of GRAINS) {
      const options = { scheme, scale, ...grain };
      assert.throws(
        () => quantizeInSlices(kernels, read, [100, 10], options, 'tensor t', undefined, 64),
        (error: BitnibbleError) =>
          error.code === 'not-finite' && /got NaN at index 777 \(tensor t\)/.test(error.message),
      );
    }
  }
});

test('means of weights whose sums overflow float32', () => {
  const weights = new Float32Array(900).fill(3e38);
  const read = (from: number, to: number) => weights.slice(from, to);
  const options = { scheme: 'binary', granularity: 'channel' } as const;
  const { tensor } = quantizeInSlices(kernels, read, [300, 3], options, 't', undefined, 64);
  assert.equal(tensor, quantizeTensor(kernels, weights, [300, 3], options));
  assert.is(tensor.scales[0], Math.fround(3e38));
});

test('boxes follow each other, stay within bounds and hold each element once', () => {
  for (const shape of [[], [7], [4, 5], [3, 1, 6], [2, 3, 4, 5], [1, 40]]) {
    const size = sizeOf(shape);
    for (const most of [1, 3, 5, 12, 1000]) {
      for (const [from, to] of [
        [0, size],
        [Math.floor(size / 3), size],
        [0, Math.ceil(size / 2)],
        [Math.min(1, size), Math.max(1, size - 1)],
      ] as const) {
        let at = from;
        for (const { offset, count, start, length } of boxes(shape, from, to, most)) {
          assert.is(start, at);
          assert.is(length, sizeOf(count));
          assert.ok(
            length <= most &&
              offset.every((o, axis) => o + (count[axis] as number) <= (shape[axis] as number)),
          );
          const first = offset.reduce((sum, o, axis) => sum * (shape[axis] as number) + o, 0);
          assert.is(first, start);
          at += length;
        }
        assert.is(at, Math.max(from, to), `[${shape}] ${from} to ${to} by ${most}`);
      }
    }
  }
});

test.run();
