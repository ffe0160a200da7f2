// Counted twice: by the library in slices, and here element by element from whole arrays.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openKeras } from '../../src/keras/index.js';
import { loadKernels } from '../../src/kernels/index.js';
import { levelHistogram, quantizeModel } from '../../src/pipeline/index.js';
import type { QuantizeOptions } from '../../src/schemes/types.js';
import { blockCount } from '../../src/shape.js';
import { dense, type FakeLayer, fakeKeras } from '../support/h5.js';

const kernels = await loadKernels();
const wave = (i: number) => Math.sin(i * 12.9898) * (1 + (i % 7)) * 0.1;
const conv: FakeLayer = {
  name: 'transposed',
  className: 'Conv2DTranspose',
  config: { filters: 5, kernel_size: [2, 2] },
  weights: [
    { name: 'kernel', shape: [2, 2, 5, 3], data: Float32Array.from({ length: 60 }, (_, i) => wave(i)) },
  ],
};
const model = await openKeras(await fakeKeras([dense('dense', 33, 7, wave), conv]), 'fake.h5');

const WAYS: QuantizeOptions[] = [
  { scheme: 'int4', granularity: 'tensor' },
  { scheme: 'int4', granularity: 'channel' },
  { scheme: 'int4', granularity: 'group', groupSize: 6, scale: 'lsq' },
  { scheme: 'int2', granularity: 'tensor' },
  { scheme: 'int2', granularity: 'channel', scale: 'absmax' },
  { scheme: 'binary', granularity: 'tensor' },
  { scheme: 'binary', granularity: 'channel' },
  { scheme: 'binary', granularity: 'group', groupSize: 4 },
  { scheme: 'binary', granularity: 'tensor', scale: 'none' },
];

/** Block of element `e`, by the definition of `BlockLayout`. */
function blockOf(
  { channels, inner, groupRows }: { channels: number; inner: number; groupRows: number },
  e: number,
): number {
  const row = Math.floor(e / (channels * inner)) * inner + (e % inner);
  return Math.floor(row / groupRows) * channels + (Math.floor(e / inner) % channels);
}

for (const way of WAYS) {
  const name = `${way.scheme}, ${way.granularity}, ${way.scale ?? 'default scale'}`;
  test(`${name}: bins and levels are what counting by hand gives`, () => {
    const { model: quantized } = quantizeModel(model, { default: way }, { kernels });
    for (const id of ['dense/kernel', 'transposed/kernel']) {
      const weight = quantized.weight(id);
      if (weight.kind !== 'quantized') throw new Error(`${id} was kept`);
      const { layout, scales } = weight.tensor;
      const blocks = blockCount(layout);
      const [w, v] = [model.read(id), quantized.read(id)];
      for (const block of [undefined, 0, blocks - 1]) {
        const found = levelHistogram(model, quantized, id, { bins: 10, block });
        const isOne = blocks === 1 || block !== undefined;
        assert.is(found.unit, isOne ? 'weight' : 'scale');
        assert.is(found.blocks, blocks);
        assert.is(found.scale, isOne ? scales[block ?? 0] : undefined);
        const elements = [...w.keys()].filter((e) => block === undefined || blockOf(layout, e) === block);
        const unit = (e: number) => (isOne ? 1 : (scales[blockOf(layout, e)] as number));
        assert.is(found.weights, elements.length);
        const reach = Math.max(...elements.flatMap((e) => [w[e]!, v[e]!].map((x) => Math.abs(x / unit(e)))));
        assert.ok(Math.abs(found.to - reach) < 1e-6 * reach);
        assert.is(found.from, -found.to);
        const counts = new Array(10).fill(0);
        for (const e of elements) {
          const place = ((w[e]! / unit(e) + found.to) / (2 * found.to)) * 10;
          counts[Math.min(9, Math.floor(place))]++;
        }
        // A weight on an edge may fall to either side, by a rounding.
        const moved = counts.reduce((sum, n, i) => sum + Math.abs(n - (found.counts[i] as number)), 0);
        assert.ok(moved <= 2, `${counts} against ${found.counts}`);
        assert.is(
          found.counts.reduce((a, b) => a + b),
          elements.length,
        );
        const levels = new Map<string, number>();
        for (const e of elements) {
          const key = (v[e]! / unit(e)).toFixed(5).replace(/^-(0\.0+)$/, '$1');
          levels.set(key, (levels.get(key) ?? 0) + 1);
        }
        assert.equal(
          found.levels.map(({ value, count }) => [value.toFixed(5).replace(/^-(0\.0+)$/, '$1'), count]),
          [...levels].sort(([a], [b]) => Number(a) - Number(b)),
        );
      }
    }
  });
}

test('a block of zeros lies at 0', async () => {
  const zeros = await openKeras(await fakeKeras([dense('zeros', 8, 2, (i) => (i % 2 ? 5 : 0))]), 'zeros.h5');
  const { model: quantized } = quantizeModel(zeros, { default: { scheme: 'int4' } }, { kernels });
  const { scale, from, to, levels } = levelHistogram(zeros, quantized, 'zeros/kernel', { block: 0 });
  assert.equal({ scale, from, to, levels }, { scale: 0, from: -1, to: 1, levels: [{ value: 0, count: 8 }] });
  assert.is(
    levelHistogram(zeros, quantized, 'zeros/kernel').levels.find(({ value }) => value === 0)?.count,
    8,
  );
  zeros.close();
});

test('what cannot be counted is refused by name', () => {
  const { model: quantized } = quantizeModel(model, { default: { scheme: 'int4' } }, { kernels });
  const of =
    (id: string, options = {}) =>
    () =>
      levelHistogram(model, quantized, id, options);
  assert.throws(of('dense/bias'), /expected a quantized weight \(tensor dense\/bias of fake.h5\)/);
  assert.throws(of('dense/kernel', { block: 7 }), /"block" expected an integer from 0 to 6, got 7/);
  assert.throws(of('dense/kernel', { block: 0.5 }), /"block" expected/);
  assert.throws(of('dense/kernel', { bins: 0 }), /"bins" expected an integer of at least 1, got 0/);
  assert.throws(of('nothing'), /no weight named nothing/);
});

test.run();
