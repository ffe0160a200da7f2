import { readFileSync } from 'node:fs';
import { gzipSync, strToU8, zipSync } from 'fflate';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { CIFAR10_CLASSES, readCifar10, readIdxDataset, readNpzDataset } from '../../src/data/index.js';
import type { NumericArray } from '../../src/formats/ndarray.js';
import { writeNpy } from '../../src/formats/npy.js';
import { refusesTruncations, survivesBitFlips, throwsCode } from '../formats/damage.js';

const fixture = (name: string) => ({
  name,
  bytes: new Uint8Array(readFileSync(new URL(`../fixtures/npz/${name}`, import.meta.url))),
});
const named = (name: string, bytes: Uint8Array) => ({ name, bytes });
const idx = (type: number, shape: number[], values: number[]) =>
  Uint8Array.from([0, 0, type, shape.length, ...shape.flatMap((d) => [0, 0, 0, d]), ...values]);
const npz = (arrays: Record<string, [number[], NumericArray]>) =>
  zipSync(
    Object.fromEntries(
      Object.entries(arrays).map(([name, [shape, data]]) => [`${name}.npy`, writeNpy({ shape, data })]),
    ),
  );
const first = (dataset: { batches(options: { batchSize: number }): Iterable<{ x: Float32Array }> }) => [
  ...[...dataset.batches({ batchSize: 1 })][0]!.x,
];

/** One record whose pixel at (row, column) is red = row, green = column, blue = row + column. */
function record(label: number): Uint8Array {
  const planes = [(r: number) => r, (_: number, c: number) => c, (r: number, c: number) => r + c];
  const pixels = planes.flatMap((plane) => Array.from({ length: 1024 }, (_, p) => plane(p >> 5, p & 31)));
  return Uint8Array.from([label, ...pixels]);
}
const join = (...parts: Uint8Array[]) => Uint8Array.from(parts.flatMap((part) => [...part]));

test('CIFAR-10: planes become pixels, files follow one another', () => {
  const dataset = readCifar10([named('a.bin', join(record(9), record(0))), named('b.bin', record(3))]);
  assert.is(dataset.count, 3);
  assert.equal(dataset.inputShape, [32, 32, 3]);
  assert.is(dataset.dtype, 'uint8');
  assert.equal(dataset.labels, Int32Array.of(9, 0, 3));
  assert.is(dataset.classNames?.[9], 'truck');
  assert.is(CIFAR10_CLASSES.length, 10);
  const x = first(dataset);
  for (let r = 0; r < 32; r++) {
    for (let c = 0; c < 32; c++) {
      assert.equal(x.slice((r * 32 + c) * 3, (r * 32 + c) * 3 + 3), [r, c, r + c]);
    }
  }
});

test('CIFAR-10: wrong lengths and labels are refused by file', () => {
  for (const length of [0, 1, 3072, 3074, 2 * 3073 - 1]) {
    throwsCode(
      () => readCifar10([named('a.bin', record(1)), named('b.bin', new Uint8Array(length))]),
      'corrupt-file',
      'b.bin',
      '3073',
    );
  }
  throwsCode(
    () => readCifar10([named('a.bin', join(record(1), record(10)))]),
    'corrupt-file',
    'a.bin',
    'got 10 at byte 3073',
  );
});

test('IDX: images get a channel axis, other shapes stay', () => {
  const images = named('i', idx(8, [2, 1, 3], [1, 2, 3, 4, 5, 6]));
  const labels = named('l', idx(8, [2], [7, 255]));
  const dataset = readIdxDataset(images, labels);
  assert.equal(
    [dataset.name, dataset.count, dataset.inputShape, dataset.dtype],
    ['i', 2, [1, 3, 1], 'uint8'],
  );
  assert.equal(dataset.labels, Int32Array.of(7, 255));
  assert.equal(first(dataset), [1, 2, 3]);
  const zipped = readIdxDataset(named('i', gzipSync(images.bytes)), named('l', gzipSync(labels.bytes)));
  assert.equal(zipped.labels, dataset.labels);
  assert.equal(readIdxDataset(named('i', idx(8, [2, 3], [1, 2, 3, 4, 5, 6]))).inputShape, [3]);
  assert.equal(readIdxDataset(named('i', idx(8, [1, 1, 2, 3], [1, 2, 3, 4, 5, 6]))).inputShape, [1, 2, 3]);
});

test('IDX: other types become float32; without labels there are none', () => {
  const dataset = readIdxDataset(named('i', idx(0x0b, [1, 2], [0xff, 0xff, 0x01, 0x00])));
  assert.is(dataset.dtype, 'float32');
  assert.is(dataset.labels, undefined);
  assert.equal(first(dataset), [-1, 256]);
});

test('IDX: what does not fit is refused by file', () => {
  const images = named('images', idx(8, [2, 1], [1, 2]));
  const refuses = (labels: Uint8Array, ...texts: string[]) =>
    throwsCode(() => readIdxDataset(images, named('labels', labels)), 'data-mismatch', 'labels', ...texts);
  refuses(idx(8, [3], [1, 2, 3]), 'expected 2 labels', '[3]');
  refuses(idx(9, [2], [0, 0xff]), '-1 at index 1');
  refuses(idx(8, [2, 1, 1], [0, 1]));
  throwsCode(() => readIdxDataset(named('vector', idx(8, [3], [1, 2, 3]))), 'data-mismatch', 'vector');
  throwsCode(() => readIdxDataset(named('none', idx(8, [0, 28, 28], []))), 'data-mismatch', 'none');
});

test('npz: the arrays of keras.datasets, by split', () => {
  const test = readNpzDataset(fixture('keras.npz'));
  assert.equal([test.count, test.inputShape, test.dtype], [2, [4, 3], 'uint8']);
  assert.equal(test.labels, Int32Array.of(1, 2));
  assert.is(first(test)[0], 36);
  const train = readNpzDataset(fixture('keras.npz'), 'train');
  assert.equal([train.count, train.labels], [3, Int32Array.of(2, 0, 1)]);
});

test('npz: float64 samples, one-hot labels', () => {
  const dataset = readNpzDataset(fixture('one_hot.npz'));
  assert.equal([dataset.count, dataset.inputShape, dataset.dtype], [4, [3], 'float32']);
  assert.equal(dataset.labels, Int32Array.of(2, 0, 1, 2));
  assert.equal(first(dataset), [0, 1 / 8, 2 / 8]);
});

test('npz: booleans are the numbers 0 and 1, not bytes to be scaled by 1/255', () => {
  const x = writeNpy({ shape: [2, 2], data: Uint8Array.of(1, 0, 0, 1), dtype: 'bool' });
  const y = writeNpy({ shape: [2, 2], data: Uint8Array.of(0, 1, 1, 0), dtype: 'bool' });
  const dataset = readNpzDataset(named('b.npz', zipSync({ 'x.npy': x, 'y.npy': y })));
  assert.equal([dataset.dtype, first(dataset)], ['float32', [1, 0]]);
  assert.equal(dataset.labels, Int32Array.of(1, 0), 'one-hot');
});

test('npz: labels [n, 1], 64-bit labels, none', () => {
  const x: [number[], NumericArray] = [[2, 2], Float32Array.of(1, 2, 3, 4)];
  const labels = (y: [number[], NumericArray]) => readNpzDataset(named('a.npz', npz({ x, y }))).labels;
  assert.equal(labels([[2, 1], Uint8Array.of(3, 4)]), Int32Array.of(3, 4));
  assert.equal(labels([[2], BigInt64Array.of(5n, 6n)]), Int32Array.of(5, 6));
  assert.equal(labels([[2], Float32Array.of(1, 0)]), Int32Array.of(1, 0));
  assert.is(readNpzDataset(named('a.npz', npz({ x }))).labels, undefined);
});

test('npz: answers that are no classes are numbers to be predicted, with the reason why they are no labels', () => {
  const x: [number[], NumericArray] = [[2, 2], Float32Array.of(1, 2, 3, 4)];
  const cases: [[number[], NumericArray], number[], string][] = [
    [[[2, 1, 1], Uint8Array.of(1, 2)], [1, 1], 'expected 2 labels'],
    [[[2], Float32Array.of(0, 0.5)], [], '0.5 at index 1'],
    [[[2], Int8Array.of(-1, 0)], [], '-1 at index 0'],
    [[[2], BigInt64Array.of(0n, 2n ** 31n)], [], '2147483648 at index 1'],
    [[[2, 2], Float32Array.of(1, 0, 0.5, 0.5)], [2], 'row 1 is not one-hot'],
    [[[2, 2], Uint8Array.of(0, 0, 1, 0)], [2], 'row 0 is not one-hot'],
    [[[2, 2], Uint8Array.of(1, 0, 1, 1)], [2], 'row 1 is not one-hot'],
  ];
  for (const [y, shape, message] of cases) {
    const { labels, targets, labelFault } = readNpzDataset(named('a.npz', npz({ x, y })));
    assert.is(labels, undefined);
    assert.match(labelFault ?? '', 'a.npz: y: ');
    assert.match(labelFault ?? '', message);
    assert.equal([targets?.shape, [...(targets?.values ?? [])]], [shape, Array.from(y[1], Number)]);
  }
  const refused: [[number[], NumericArray], string][] = [
    [[[3], Uint8Array.of(1, 2, 3)], 'expected 2 labels'],
    [[[3, 2], Float32Array.of(1, 2, 3, 4, 5, 0.5)], 'expected 2 labels'],
    [[[2], Float32Array.of(0, Number.NaN)], 'NaN at index 1'],
  ];
  for (const [y, message] of refused)
    throwsCode(() => readNpzDataset(named('a.npz', npz({ x, y }))), 'data-mismatch', 'a.npz: y', message);
});

test('npz: missing arrays, pickles, integers that float32 does not hold', () => {
  const other = named('o.npz', npz({ images: [[1], Uint8Array.of(1)] }));
  throwsCode(() => readNpzDataset(other), 'data-mismatch', 'o.npz', 'x_test', 'got images');
  throwsCode(() => readNpzDataset(fixture('objects.npz')), 'unsupported-dtype', 'pickle');
  const big = (value: number) => readNpzDataset(named('b.npz', npz({ x: [[1, 1], Int32Array.of(value)] })));
  assert.equal(first(big(2 ** 24)), [2 ** 24]);
  throwsCode(() => big(2 ** 24 + 1), 'data-mismatch', '16777217');
  throwsCode(() => readNpzDataset(named('t', strToU8('no zip, but text that is long'))), 'not-zip');
});

test('npz: the pair of the split goes before x and y', () => {
  const both = npz({
    x: [[1, 1], Uint8Array.of(1)],
    y: [[1], Uint8Array.of(1)],
    x_test: [[1, 1], Uint8Array.of(2)],
  });
  const test = readNpzDataset(named('a', both));
  assert.equal([first(test), test.labels], [[2], undefined]);
  assert.equal(first(readNpzDataset(named('a', both), 'train')), [1]);
});

test('limits bound what is unpacked', () => {
  const bomb = npz({ x: [[1000, 1000], new Uint8Array(1_000_000)] });
  throwsCode(() => readNpzDataset(named('bomb', bomb), 'test', { limit: 1000 }), 'too-large', 'bomb');
  const idxBomb = gzipSync(new Uint8Array(1_000_000));
  throwsCode(() => readIdxDataset(named('bomb', idxBomb), undefined, { limit: 1000 }), 'too-large', 'bomb');
});

test('truncations are refused; bit flips are refused or give whole datasets', () => {
  const { bytes } = fixture('keras.npz');
  const read = (data: Uint8Array) => readNpzDataset(named('k', data));
  refusesTruncations(bytes, read);
  const isWhole = (dataset: ReturnType<typeof read>) => dataset.count === 2 && first(dataset).length === 12;
  assert.ok(survivesBitFlips(bytes, 2000, read, isWhole) > 1000);
});

test('10,000 CIFAR-10 images become batches in well under a second', () => {
  const bytes = new Uint8Array(10_000 * 3073);
  const start = performance.now();
  const dataset = readCifar10([named('big.bin', bytes)]);
  let samples = 0;
  for (const { size } of dataset.batches({
    batchSize: 100,
    preprocess: { scale: 1 / 255, mean: [0, 0, 0] },
  })) {
    samples += size;
  }
  const seconds = (performance.now() - start) / 1000;
  assert.is(samples, 10_000);
  // about 0.3 s on one core; the bound only catches a change of order
  assert.ok(seconds < 10, `${seconds} s`);
});

test.run();
