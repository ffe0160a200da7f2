import * as fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  arrayDataset,
  type BatchOptions,
  type Dataset,
  type Preprocess,
  parsePreprocess,
  sampleDataset,
  samplesFrom,
} from '../../src/data/index.js';

const bytes = (count: number) => Uint8Array.from({ length: count }, (_, i) => i);

/** All batches joined. */
function collect(dataset: Dataset, options: BatchOptions): { x: number[]; y: number[]; sizes: number[] } {
  const batches = [...dataset.batches(options)];
  return {
    x: batches.flatMap(({ x }) => [...x]),
    y: batches.flatMap(({ y }) => [...y]),
    sizes: batches.map(({ size }) => size),
  };
}

const five = arrayDataset({
  name: 'five',
  inputShape: [2],
  values: bytes(10),
  labels: Int32Array.of(4, 3, 2, 1, 0),
});

test('batches in order, the last one smaller', () => {
  assert.equal(collect(five, { batchSize: 2 }), {
    x: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    y: [4, 3, 2, 1, 0],
    sizes: [2, 2, 1],
  });
  assert.equal(collect(five, { batchSize: 5 }).sizes, [5]);
  assert.equal(collect(five, {}).sizes, [5]);
});

test('limit and indices', () => {
  assert.equal(collect(five, { batchSize: 2, limit: 3 }), {
    x: [0, 1, 2, 3, 4, 5],
    y: [4, 3, 2],
    sizes: [2, 1],
  });
  assert.equal(collect(five, { batchSize: 2, limit: 99 }).sizes, [2, 2, 1]);
  const order = { batchSize: 2, indices: [4, 0, 0] };
  assert.equal(collect(five, order), { x: [8, 9, 0, 1, 0, 1], y: [0, 4, 4], sizes: [2, 1] });
  assert.equal(collect(five, { ...order, limit: 1 }), { x: [8, 9], y: [0], sizes: [1] });
  assert.equal(collect(five, { batchSize: 2, indices: Uint32Array.of() }), { x: [], y: [], sizes: [] });
});

test('a part of a dataset is a dataset: order, labels, limits', () => {
  const part = samplesFrom(five, 1, 3);
  assert.equal([part.count, [...(part.labels ?? [])]], [3, [3, 2, 1]]);
  assert.equal(collect(part, { batchSize: 2 }), { x: [2, 3, 4, 5, 6, 7], y: [3, 2, 1], sizes: [2, 1] });
  assert.equal(collect(part, { limit: 1, indices: [2, 0] }), { x: [6, 7], y: [1], sizes: [1] });
  assert.equal(collect(samplesFrom(part, 2, 1), {}), { x: [6, 7], y: [1], sizes: [1] });
  assert.throws(() => part.batches({ indices: [3] }), /"indices" expected integers from 0 to 2, got 3/);
  for (const [from, count] of [
    [3, 3],
    [-1, 2],
    [0, 0],
    [0.5, 1],
  ] as const)
    assert.throws(() => samplesFrom(five, from, count), /expected/);
});

test('every batch is an array of its own, and the stored samples stay as they are', () => {
  for (const values of [bytes(10), Float32Array.from(bytes(10))]) {
    const dataset = arrayDataset({ name: 'own', inputShape: [2], values });
    for (const { x } of dataset.batches({ batchSize: 2 })) {
      x.fill(99);
    }
    assert.equal(collect(dataset, { batchSize: 10 }).x, [...bytes(10)]);
  }
});

test('wrong options are refused at the call', () => {
  const refuses = (options: BatchOptions, message: RegExp) => {
    assert.throws(
      () => five.batches(options),
      (error: Error) => error instanceof RangeError && message.test(error.message),
    );
  };
  for (const batchSize of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    refuses({ batchSize }, /"batchSize" expected .*five/);
  }
  refuses({ batchSize: 1, limit: 0 }, /"limit"/);
  refuses({ batchSize: 1, limit: Number.NaN }, /"limit"/);
  for (const index of [-1, 5, 0.5, Number.NaN]) {
    refuses({ batchSize: 1, indices: [0, index] }, /"indices" expected integers from 0 to 4/);
  }
  refuses({ batchSize: 1, preprocess: { mean: [1, 2, 3] } }, /"mean" expected 1 or 2 numbers, got 3/);
  refuses({ batchSize: 1, preprocess: { std: 0 } }, /"std" expected .* above 0/);
  refuses({ batchSize: 1, preprocess: { std: -1 } }, /"std"/);
  refuses({ batchSize: 1, preprocess: { scale: 0 } }, /"scale" expected .* other than 0/);
  refuses({ batchSize: 1, preprocess: { std: [1, 0] } }, /"std"/);
  refuses({ batchSize: 1, preprocess: { scale: Number.NaN } }, /"scale"/);
  refuses({ batchSize: 1, preprocess: { mean: Number.POSITIVE_INFINITY } }, /"mean"/);
});

test('a batch that no array can hold is refused at the call, before a sample is read', () => {
  const large = sampleDataset({
    ...{ name: 'large', inputShape: [8192, 8192, 3], count: 64, dtype: 'uint8' },
    sample: () => assert.unreachable() as never,
  });
  assert.throws(
    () => large.batches({ batchSize: 4 }),
    (error: Error & { code?: string }) =>
      error.code === 'too-large' &&
      error.message.includes('a batch of 4 samples [8192,8192,3] takes 3221225472 bytes'),
  );
  large.batches({ batchSize: 4, limit: 2 });
});

test('arrays that do not fit are refused', () => {
  const refuses = (inputShape: number[], labels: number, message: RegExp) =>
    assert.throws(
      () => arrayDataset({ name: 'odd', inputShape, values: bytes(10), labels: new Int32Array(labels) }),
      (error: Error) => error instanceof RangeError && message.test(error.message),
    );
  refuses([3], 3, /"values" expected a multiple of 3 values, got 10 \(odd\)/);
  refuses([5], 3, /"labels" expected 2, one per sample, got 3 \(odd\)/);
  refuses([0], 0, /"values"/);
});

test('data without labels has -1 as classes', () => {
  const dataset = arrayDataset({ name: 'plain', inputShape: [5], values: bytes(10) });
  assert.is(dataset.labels, undefined);
  assert.equal(collect(dataset, { batchSize: 2 }).y, [-1, -1]);
});

test('a byte / 255 is the float32 that NumPy gives, for all bytes', () => {
  const dataset = arrayDataset({ name: 'bytes', inputShape: [256], values: bytes(256) });
  const { x } = collect(dataset, { batchSize: 1, preprocess: { scale: 1 / 255 } });
  assert.equal(
    x,
    Array.from(bytes(256), (value) => Math.fround(value / 255)),
  );
});

test('preprocessing follows its equation, for bytes and floats, any channels', () => {
  const finite = fc.double({ min: -100, max: 100, noNaN: true });
  const positive = fc.double({ min: 0.01, max: 100, noNaN: true });
  const channelCounts = fc.integer({ min: 1, max: 4 });
  const cases = channelCounts.chain((channels) => {
    const each = (one: fc.Arbitrary<number>) =>
      fc.oneof(one, fc.array(one, { minLength: channels, maxLength: channels }));
    return fc.record({
      channels: fc.constant(channels),
      scale: positive,
      mean: each(finite),
      std: each(positive),
      values: fc.uint8Array({ minLength: 6 * channels, maxLength: 6 * channels }),
    });
  });
  fc.assert(
    fc.property(cases, ({ channels, scale, mean, std, values }) => {
      const at = (part: number | number[], i: number) =>
        [part].flat()[typeof part === 'number' ? 0 : i % channels]!;
      const expected = Array.from(values, (v, i) => Math.fround((v * scale - at(mean, i)) / at(std, i)));
      for (const stored of [values, Float32Array.from(values)]) {
        const dataset = arrayDataset({ name: 'any', inputShape: [2, channels], values: stored });
        const { x } = collect(dataset, { batchSize: 2, preprocess: { scale, mean, std } });
        assert.equal(x, expected);
      }
    }),
    { seed: 7 },
  );
});

test('parsePreprocess reads numbers, fractions and lists', () => {
  assert.equal(parsePreprocess({}), {});
  assert.equal(parsePreprocess({ scale: '1/255' }), { scale: 1 / 255 });
  assert.equal(parsePreprocess({ scale: ' 0.5 ', mean: '-.5', std: '2.' }), {
    scale: 0.5,
    mean: -0.5,
    std: 2,
  });
  assert.equal(parsePreprocess({ mean: '0.485, 0.456,0.406', std: '1/2,1e-1,3' }), {
    mean: [0.485, 0.456, 0.406],
    std: [0.5, 0.1, 3],
  } satisfies Preprocess);
});

test('parsePreprocess names the flag', () => {
  const cases: [Parameters<typeof parsePreprocess>[0], string][] = [
    ...[
      '',
      'abc',
      '1/',
      '/2',
      '1/2/3',
      '1/0',
      '0x10',
      '1,2',
      'Infinity',
      'NaN',
      '0',
      '1 2',
      '--1',
      '1e999',
    ].map((scale): [{ scale: string }, string] => [{ scale }, '"--scale" expected']),
    ...['', '1,', ',1', '1,,2', '1;2', '1/0'].map((mean): [{ mean: string }, string] => [
      { mean },
      '"--mean" expected',
    ]),
    ...['0', '1,0', 'x'].map((std): [{ std: string }, string] => [{ std }, '"--std" expected']),
  ];
  for (const [texts, start] of cases) {
    assert.throws(
      () => parsePreprocess(texts),
      (error: Error) => error instanceof RangeError && error.message.startsWith(start),
      JSON.stringify(texts),
    );
  }
});

test.run();
