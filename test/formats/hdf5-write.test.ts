// Files of HDF5 and zip archives written from nothing: the HDF5 library and our own reader of archives read them back.
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Hdf5Dataset, type Hdf5Group, hdf5File, MAX_MEMBERS } from '../../src/formats/hdf5-write.js';
import { readZipDirectory, readZipEntry } from '../../src/formats/zip.js';
import { zipFile } from '../../src/formats/zip-file.js';
import { H5File } from '../../src/keras/h5.js';
import { bytesSource } from '../../src/keras/source.js';
import { DTYPE_BYTES, type Dtype } from '../../src/model.js';
import { sizeOf } from '../../src/shape.js';

const whole = (pieces: Iterable<Uint8Array>) => new Uint8Array(Buffer.concat([...pieces]));
const opened = (bytes: Uint8Array) => H5File.open('written.h5', bytesSource(bytes));

const dtypes: readonly Dtype[] = ['U8', 'I8', 'I16', 'U32', 'I64', 'F16', 'BF16', 'F32', 'F64'];

const dataset = fc
  .record({
    dtype: fc.constantFrom(...dtypes),
    shape: fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 4 }),
    seed: fc.integer({ min: 1, max: 255 }),
  })
  .map(({ dtype, shape, seed }) => {
    const bytes = Uint8Array.from({ length: sizeOf(shape) * DTYPE_BYTES[dtype] }, (_, i) => (i * seed) & 63);
    const half = bytes.length >> 1;
    return { dtype, shape, bytes, values: () => [bytes.subarray(0, half), bytes.subarray(half)] };
  });
const name = fc.stringMatching(/^[a-zé_0-9]{1,12}$/);

/** Groups in groups, as a list of paths with their datasets. */
const tree = fc.uniqueArray(fc.tuple(fc.array(name, { minLength: 1, maxLength: 3 }), dataset), {
  maxLength: 12,
  selector: ([path]) => path.join('/'),
});

test('HDF5 reads back every number type, shape and attribute, in groups within groups', async () => {
  await fc.assert(
    fc.asyncProperty(tree, name, async (items, title) => {
      const root: Hdf5Group = { attributes: { title }, members: new Map() };
      const there = new Map<string, (typeof items)[number][1]>();
      for (const [path, item] of items) {
        let group = root;
        for (const part of path.map((own) => `${own}.g`)) {
          const members = group.members as Map<string, Hdf5Group>;
          const next: Hdf5Group = members.get(part) ?? { members: new Map(), attributes: { of: part } };
          members.set(part, next);
          group = next;
        }
        (group.members as Map<string, Hdf5Dataset>).set('data', item);
        there.set(`/${path.map((own) => `${own}.g`).join('/')}/data`, item);
      }
      const file = hdf5File(root);
      const bytes = whole(file.pieces());
      assert.is(bytes.length, file.bytes);
      assert.equal(whole(file.pieces()), bytes);
      const h5 = await opened(bytes);
      assert.is(h5.attribute('/', 'title'), title);
      for (const [path, { dtype, shape, bytes: wanted }] of there) {
        const found = h5.dataset(path);
        assert.equal([found.dtype, found.shape], [dtype, shape], path);
        assert.equal(new Uint8Array(h5.readBytes(path)), wanted, path);
      }
      h5.close();
    }),
    { numRuns: 60 },
  );
});

test('a group of thousands of members', async () => {
  const members = new Map<string, Hdf5Dataset>();
  for (let i = 0; i < 5000; i++)
    members.set(`layer_${i}`, { dtype: 'U32', shape: [1], values: () => [Uint8Array.of(i, i >> 8, 0, 0)] });
  const h5 = await opened(whole(hdf5File({ members }).pieces()));
  assert.is(h5.keys('/').length, 5000);
  assert.equal([...h5.readBytes('/layer_4999')], [4999 & 255, 4999 >> 8, 0, 0]);
  h5.close();
});

test('too many members, and values of another length, are errors', () => {
  const one: Hdf5Dataset = { dtype: 'F32', shape: [2], values: () => [new Uint8Array(4)] };
  const many = new Map(Array.from({ length: MAX_MEMBERS + 1 }, (_, i) => [String(i), one]));
  assert.throws(() => hdf5File({ members: many }), /65520 members, expected at most 65519/);
  const short = hdf5File({ members: new Map([['x', one]]) });
  assert.throws(() => whole(short.pieces()), /a dataset \[2\] of F32 was given 4 bytes/);
});

test('archives have their members back', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.tuple(name, fc.uint8Array({ maxLength: 300 })), { selector: ([own]) => own }),
      (members) => {
        const zip = zipFile(
          members.map(([own, bytes]) => ({ name: own, size: bytes.length, pieces: () => [bytes] })),
        );
        const bytes = whole(zip.pieces());
        assert.is(bytes.length, zip.bytes);
        const source = bytesSource(bytes);
        const entries = readZipDirectory(source, 'written.zip');
        assert.equal(
          entries.map((entry) => [entry.name, readZipEntry(source, entry, { name: 'written.zip' })]),
          members.map(([own, content]) => [own, content]),
        );
      },
    ),
  );
});

test('a member of more than 4 GiB has the numbers of zip64', () => {
  const size = 2 ** 32 + 5;
  const zip = zipFile([
    { name: 'large', size, pieces: () => [] },
    { name: 'small', size: 0, pieces: () => [] },
  ]);
  // Names, two headers, two records, two extra fields in each part, the long end.
  assert.is(zip.bytes, size + 2 * (30 + 5) + 20 + 2 * (46 + 5) + 20 + 12 + 98);
  assert.throws(() => [...zip.pieces()], /zip member large has 0 bytes, expected 4294967301/);
});

test.run();
