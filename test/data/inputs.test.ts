// Samples of several inputs, and the kinds of files that they come from.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { zipSync } from 'fflate';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  arrayDataset,
  arraysOf,
  type Dataset,
  gatherSamples,
  imageFolder,
  inputsOf,
  joinInputs,
  pickSamples,
  readCsvDataset,
  readNpyDataset,
  readNpzDataset,
  readSafetensorsDataset,
  samplesFrom,
} from '../../src/data/index.js';
import type { NumericArray } from '../../src/formats/ndarray.js';
import { writeNpy } from '../../src/formats/npy.js';
import { writeSafetensors } from '../../src/formats/safetensors.js';
import { openDataset } from '../../src/node/datasets.js';
import { fileSource } from '../../src/node/index.js';
import { throwsCode } from '../formats/damage.js';
import { greyPng } from '../support/png.js';

const folder = mkdtempSync(path.join(tmpdir(), 'bitnibble-inputs-'));
test.after(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string) => path.join(folder, name);
const put = (name: string, bytes: Uint8Array | string) => {
  mkdirSync(path.dirname(at(name)), { recursive: true });
  writeFileSync(at(name), bytes);
  return at(name);
};
const named = (name: string, bytes: Uint8Array) => ({ name, bytes });
const npz = (arrays: Record<string, [number[], NumericArray]>) =>
  zipSync(
    Object.fromEntries(
      Object.entries(arrays).map(([name, [shape, data]]) => [`${name}.npy`, writeNpy({ shape, data })]),
    ),
  );
const text = (value: string) => new TextEncoder().encode(value);

/** All values of every input, and the labels of the batches. */
function all(dataset: Dataset, options: Parameters<Dataset['batches']>[0] = { batchSize: 2 }) {
  const batches = [...dataset.batches(options)];
  return {
    values: inputsOf(dataset).map((_, i) => batches.flatMap((batch) => [...(arraysOf(batch)[i] ?? [])])),
    labels: batches.flatMap(({ y }) => [...y]),
  };
}

const a: [number[], NumericArray] = [[3, 2], Float32Array.of(1, 2, 3, 4, 5, 6)];
const b: [number[], NumericArray] = [[3], Uint8Array.of(7, 8, 9)];
const y: [number[], NumericArray] = [[3], Uint8Array.of(2, 0, 1)];

test('npz: arrays by the names of the inputs, in the order of the network', () => {
  const read = (arrays: Parameters<typeof npz>[0], ...inputs: string[]) =>
    readNpzDataset(named('n.npz', npz(arrays)), 'test', { inputs });
  const data = read({ a, b, y, other: y }, 'b', 'a');
  assert.equal(inputsOf(data), [
    { name: 'b', shape: [], dtype: 'uint8' },
    { name: 'a', shape: [2], dtype: 'float32' },
  ]);
  assert.equal(all(data), {
    values: [
      [7, 8, 9],
      [1, 2, 3, 4, 5, 6],
    ],
    labels: [2, 0, 1],
  });
  assert.equal(all(data, { indices: [2, 0], batchSize: 1 }), {
    values: [
      [9, 7],
      [5, 6, 1, 2],
    ],
    labels: [1, 2],
  });
  // Each input by its own factor.
  const scaled = all(data, { preprocess: [{ scale: 2 }, { mean: 1 }] });
  assert.equal(scaled.values, [
    [14, 16, 18],
    [0, 1, 2, 3, 4, 5],
  ]);
  const numbered = inputsOf(read({ arr_1: b, arr_0: a }, 'left', 'right'));
  assert.equal(
    numbered.map(({ shape, name }) => [shape, name]),
    [
      [[2], undefined],
      [[], undefined],
    ],
  );
  assert.is(read({ a, y }, 'input_1').inputs, undefined);
  assert.equal(all(read({ x: a, a: b }, 'input_1')).values, [[1, 2, 3, 4, 5, 6]]);
  throwsCode(() => read({ x_train: a, y_train: y }, 'input_1'), 'data-mismatch', 'x_test', 'got x_train');
  throwsCode(
    () => read({ a, c: b, y }, 'a', 'b'),
    ...(['data-mismatch', 'n.npz', 'for each input, a, b, got a, c, y'] as const),
  );
  throwsCode(() => read({ a, b: [[2], b[1].slice(0, 2)] }, 'a', 'b'), 'data-mismatch', 'a 3, b 2');
});

test('safetensors: the same names', () => {
  const f32 = (...values: number[]) => new Uint8Array(Float32Array.from(values).buffer);
  const pieces = [
    ...writeSafetensors(
      [
        { name: 'x', dtype: 'F32', shape: [2, 2], bytes: () => f32(1, 2, 3, 4) },
        { name: 'y', dtype: 'I32', shape: [2], bytes: () => new Uint8Array(Int32Array.of(1, 0).buffer) },
      ],
      [],
    ),
  ];
  const bytes = Uint8Array.from(pieces.flatMap((piece) => [...piece]));
  const data = readSafetensorsDataset(named('s.safetensors', bytes));
  assert.equal(all(data), { values: [[1, 2, 3, 4]], labels: [1, 0] });
  throwsCode(
    () => readSafetensorsDataset(named('s', bytes), 'test', { inputs: ['p', 'q'] }),
    ...(['data-mismatch', 'p, q', 'got x, y'] as const),
  );
  throwsCode(() => readSafetensorsDataset(named('cut', bytes.slice(0, 40))), 'corrupt-file', 'cut');
});

test('csv: numbers by rows, answers by their name', () => {
  const read = (value: string, inputs?: string[]) =>
    readCsvDataset(named('t.csv', text(value)), inputs ? { inputs } : {});
  const table = read('age,"weight, kg",label\n1,2.5,0\r\n3,-4e1,1\n');
  assert.equal(table.inputShape, [2]);
  assert.equal(all(table), { values: [[1, 2.5, 3, -40]], labels: [0, 1] });
  assert.equal(all(read('1;2\n3;4')).values, [[1, 2, 3, 4]]);
  const numbers = read('a\ty\n1\t0.5\n2\t1.5');
  assert.equal([numbers.labels, [...(numbers.targets?.values ?? [])]], [undefined, [0.5, 1.5]]);
  const each = read('age,kg,y\n1,2,0\n3,4,1', ['kg', 'age']);
  assert.equal(
    inputsOf(each).map(({ name, shape }) => [name, shape]),
    [
      ['kg', [1]],
      ['age', [1]],
    ],
  );
  assert.equal(all(each), {
    values: [
      [2, 4],
      [1, 3],
    ],
    labels: [0, 1],
  });
  const refuses = (value: string, ...texts: string[]) =>
    throwsCode(() => read(value), 'data-mismatch', 't.csv', ...texts);
  refuses('a,b\n1,red', 'row 2, column b: expected a number, got "red"');
  refuses('a,b\n1,', 'row 2, column b');
  refuses('a,b\n1', 'row 2 has 1 columns, the first has 2');
  refuses('1,,3\n4,5,6', 'row 1, column 2: expected a number, got ""');
  refuses('NaN,2\n4,5', 'row 1, column 1: expected a number, got "NaN"');
  refuses('a,a\n1,2', 'two columns are called a');
  refuses('a,b\n', 'expected a row');
  refuses('y\n1', 'the answers alone');
  refuses('a,b\n"1,2', 'row 2: an open quote');
  refuses('a,b\n"1"5,2', 'row 2: "5" behind a quote');
  throwsCode(() => readCsvDataset(named('t', Uint8Array.of(0xff, 0xfe, 0))), 'corrupt-file', 'UTF-8');
});

test('csv: many columns and many short rows are refused without room for both', () => {
  const head = Array.from({ length: 60_000 }, (_, i) => `c${i}`).join();
  const start = performance.now();
  const short = named('t.csv', text(`${head}\n${'1\n'.repeat(500_000)}`));
  throwsCode(() => readCsvDataset(short), 'data-mismatch', 'row 2 has 1 columns, the first has 60000');
  const wide = named('t.csv', text(Array.from({ length: 150_000 }, (_, i) => `c${i}`).join()));
  throwsCode(() => readCsvDataset(wide), 'too-large', '150000 columns');
  assert.ok(performance.now() - start < 6000);
});

test('npy, and several of them', async () => {
  const x = writeNpy({ shape: a[0], data: a[1] });
  assert.equal(all(readNpyDataset(named('a.npy', x))).values, [[1, 2, 3, 4, 5, 6]]);
  throwsCode(
    () => readNpyDataset(named('a.npy', writeNpy({ shape: [], data: Uint8Array.of(1) }))),
    'data-mismatch',
  );
  const files = [put('left.npy', x), put('right.npy', writeNpy({ shape: b[0], data: b[1] }))];
  const answers = put('y.npy', writeNpy({ shape: y[0], data: y[1] }));
  const placed = await openDataset([...files, answers], { inputs: [{ name: 'p' }, { name: 'q' }] });
  assert.equal(
    inputsOf(placed).map(({ name }) => name),
    [undefined, undefined],
  );
  assert.equal(all(placed), {
    values: [
      [1, 2, 3, 4, 5, 6],
      [7, 8, 9],
    ],
    labels: [2, 0, 1],
  });
  const called = await openDataset(files, { inputs: [{ name: 'right' }, { name: 'left' }] });
  assert.equal(
    inputsOf(called).map(({ name }) => name),
    ['left', 'right'],
  );
  const one = await openDataset([files[0] as string, answers]);
  assert.equal([one.inputs, one.labels], [undefined, Int32Array.of(2, 0, 1)]);
});

test('folders of images: classes by folders, or none; channels as the network takes them', async () => {
  const grey = (value: number) => greyPng(2, 2, Uint8Array.of(value, 1, 2, 3));
  for (const [name, value] of [
    ['cat/1', 10],
    ['cat/2', 20],
    ['dog/1', 30],
  ] as const)
    put(`pets/test/${name}.png`, grey(value));
  put('pets/test/.cache/1.png', grey(40));
  put('flat/b.png', grey(2));
  put('flat/a.png', grey(1));
  const pets = await openDataset(at('pets'));
  assert.equal([pets.count, pets.inputShape, pets.classNames], [3, [2, 2, 1], ['cat', 'dog']]);
  // In turns, so that the first of them are of every class.
  assert.equal(pets.labels, Int32Array.of(0, 1, 0));
  assert.equal(
    all(pets).values[0]?.filter((_, i) => i % 4 === 0),
    [10, 30, 20],
  );
  put('pets/test/cow/none.txt', 'no image');
  const gap = await openDataset(at('pets'));
  assert.equal(
    [gap.classNames, [...(gap.labels ?? [])]],
    [
      ['cat', 'cow', 'dog'],
      [0, 2, 0],
    ],
  );
  const single = await openDataset(at('flat/b.png'));
  assert.equal(
    [all(single).values[0], all(single).values[0]],
    [
      [2, 1, 2, 3],
      [2, 1, 2, 3],
    ],
  );
  single.close?.();
  const flat = await openDataset(at('flat'));
  assert.equal([flat.labels, all(flat).values[0]], [undefined, [1, 1, 2, 3, 2, 1, 2, 3]]);
  const colour = await openDataset(at('flat'), { inputs: [{ name: 'x', shape: [2, 2, 3] }] });
  assert.equal(all(colour, { limit: 1 }).values[0]?.slice(0, 6), [1, 1, 1, 1, 1, 1]);
  const planes = await openDataset(at('flat'), { inputs: [{ name: 'x', shape: [3, 2, 2] }] });
  assert.equal(planes.inputShape, [3, 2, 2]);
  assert.equal(all(planes, { limit: 1 }).values[0]?.slice(0, 5), [1, 1, 2, 3, 1]);
  const code = async (where: string) => {
    try {
      await openDataset(where);
    } catch (error) {
      return `${(error as { code?: string }).code} ${(error as Error).message}`;
    }
    return 'opened';
  };
  put('odd/a.png', grey(1));
  put('odd/b.png', greyPng(1, 2, Uint8Array.of(1, 2)));
  assert.match(await code(at('odd')), /data-mismatch .*b\.png: expected 2 x 2 pixels .* got 1 x 2/);
  put('webp/a.webp', Uint8Array.of(0xff, 0xd8));
  assert.match(await code(at('webp')), /unknown-format .*a\.webp: expected PNG or JPEG images/);
  // A host that decodes images hands them over; their number is the one of their name.
  const image = { width: 2, height: 2, channels: 3, pixels: new Uint8Array(12).fill(7) } as const;
  const mixed = imageFolder(
    {
      ...{ path: 'mixed', name: 'mixed', folders: [] },
      files: [
        { name: 'a.jpg', image },
        { name: at('flat/b.png'), open: () => fileSource(at('flat/b.png')) },
      ],
    },
    'train',
    [2, 2, 1],
  );
  assert.equal(mixed && all(mixed).values[0], [7, 7, 7, 7, 2, 1, 2, 3]);
  put('text/a.png', 'no image');
  assert.match(await code(at('text')), /data-mismatch .*a\.png: expected a PNG or JPEG image/);
});

test('samples as they come, from arrays and from what has to be awaited', async () => {
  async function* stream() {
    for (let i = 0; i < 40; i++) yield { inputs: { a: [i, i + 1], b: Uint8Array.of(i) }, label: i % 3 };
  }
  const data = await gatherSamples(stream(), { limit: 35, shape: { b: [] } });
  assert.equal([data.count, inputsOf(data).map(({ shape }) => shape)], [35, [[2], []]]);
  assert.equal(all(data, { indices: [34] }), { values: [[34, 35], [34]], labels: [34 % 3] });
  const plain = await gatherSamples([Float64Array.of(0.5, 1), Float64Array.of(2, 3)], { shape: [1, 2] });
  assert.equal([plain.inputShape, plain.labels, all(plain).values], [[1, 2], undefined, [[0.5, 1, 2, 3]]]);
  const refused = async (samples: Parameters<typeof gatherSamples>[0], pattern: RegExp, bytes?: number) => {
    try {
      await gatherSamples(samples, { name: 's', ...(bytes ? { bytes } : {}) });
    } catch (error) {
      assert.match((error as Error).message, pattern);
      return;
    }
    assert.unreachable(String(pattern));
  };
  await refused([[1, 2], [1]], /s: sample 1: expected 2 values of shape \[2\], got 1/);
  await refused([[1], Uint8Array.of(1)], /sample 1: expected numbers other than bytes/);
  await refused([{ inputs: { a: [1] } }, { inputs: { b: [1] } }], /sample 1: expected the inputs a, got b/);
  await refused([{ inputs: [1] }, { inputs: [1], label: 1 }], /sample 1: expected a label for every/);
  await refused([{ inputs: [1], label: -1 }], /sample 0: expected a class number/);
  await refused([], /expected samples, got none/);
  await refused(
    [
      [1, 2],
      [3, 4],
    ],
    /sample 1: expected at most 8 bytes/,
    8,
  );
});

test('some samples are a dataset, with their labels, targets and all inputs', () => {
  const one = arrayDataset({
    ...{ name: 'one', inputShape: [1], values: Float32Array.of(0, 1, 2, 3) },
    targets: { shape: [2], values: Float32Array.of(0, 0, 1, 1, 2, 2, 3, 3) },
  });
  const two = arrayDataset({ name: 'two', inputShape: [], values: Float32Array.of(9, 8, 7, 6) });
  const joined = joinInputs('both', [{ dataset: two }, { dataset: one }]);
  const picked = pickSamples(samplesFrom(joined, 1, 3), [2, 0]);
  assert.equal(all(picked).values, [
    [6, 8],
    [3, 1],
  ]);
  assert.equal([...(picked.targets?.values ?? [])], [3, 3, 1, 1]);
  assert.throws(() => pickSamples(joined, [4]), /integers from 0 to 3/);
  assert.throws(() => pickSamples(joined, []), /"indices"/);
  assert.throws(() => [...picked.batches({ indices: [2] })], /integers from 0 to 1/);
});

test.run();
