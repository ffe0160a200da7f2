// Values in chunks by the short way: what HDF5 itself reads and writes, whatever the shapes, and however their index is damaged.
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { H5File } from '../../src/keras/h5.js';
import type { Hdf5 } from '../../src/keras/hdf5.js';
import { openHdf5 } from '../../src/keras/open-hdf5.js';
import { PlainH5 } from '../../src/keras/plain-h5.js';
import { bytesSource, GrowingBytes } from '../../src/keras/source.js';
import { DTYPE_BYTES, type Dtype } from '../../src/model.js';
import { sizeOf } from '../../src/shape.js';
import { h5 } from '../support/crafted-h5.js';
import { assertSameHdf5 } from '../support/same-hdf5.js';

interface Case {
  readonly shape: number[];
  readonly chunks: number[];
  readonly dtype: string;
}

function fileOf(cases: readonly Case[]): Promise<Uint8Array> {
  return h5((file) => {
    for (const [i, { shape, chunks, dtype }] of cases.entries()) {
      const data = Array.from({ length: sizeOf(shape) }, (_, at) => (at * 7919) % 127);
      file.create_dataset({ name: `d${i}`, data, shape, chunks, dtype } as never);
    }
  });
}

const axis = fc
  .integer({ min: 1, max: 40 })
  .chain((size) => fc.tuple(fc.constant(size), fc.integer({ min: 1, max: size })));
const anyCase: fc.Arbitrary<Case> = fc
  .tuple(fc.array(axis, { minLength: 1, maxLength: 4 }), fc.constantFrom('<f4', '<f8', '<i4', '<B'))
  .filter(([axes]) => sizeOf(axes.map(([size]) => size)) <= 20_000)
  .filter(([axes]) => sizeOf(axes.map(([size, chunk]) => Math.ceil(size / chunk))) <= 400)
  .map(([axes, dtype]) => ({
    shape: axes.map(([size]) => size),
    chunks: axes.map(([, chunk]) => chunk),
    dtype,
  }));

test('chunks of any shape: whole, in ranges and in boxes, as HDF5 reads them', async () => {
  await fc.assert(
    fc.asyncProperty(anyCase, fc.array(fc.nat(), { minLength: 10, maxLength: 10 }), async (one, random) => {
      const bytes = await fileOf([one, { shape: [3, 4], chunks: [2, 3], dtype: '<f4' }]);
      assert.ok(await assertSameHdf5(bytes, 'chunks.h5'));
      const plain = PlainH5.open('chunks.h5', bytesSource(bytes)) as PlainH5;
      const whole = await H5File.open('chunks.h5', bytesSource(bytes));
      const { shape } = one;
      const size = sizeOf(shape);
      const [a, b] = [(random[0] as number) % (size + 1), (random[1] as number) % (size + 1)];
      const range = [Math.min(a, b), Math.max(a, b)] as const;
      const offset = shape.map((count, i) => (random[2 + i] as number) % count);
      const count = shape.map((all, i) => 1 + ((random[6 + i] as number) % (all - (offset[i] as number))));
      for (const read of [
        (file: Hdf5) => file.readBytes('d0', range),
        (file: Hdf5) => file.readBox('d0', offset, count),
      ])
        assert.equal(read(plain), read(whole), JSON.stringify({ one, range, offset, count }));
      whole.close();
    }),
    { numRuns: 60 },
  );
});

test('what is written to chunks is the same file to the byte', async () => {
  await fc.assert(
    fc.asyncProperty(anyCase, fc.nat(), fc.nat(), async (one, first, second) => {
      const bytes = await fileOf([one]);
      const size = sizeOf(one.shape);
      const from = first % size;
      const count = 1 + (second % (size - from));
      const { dtype } = (PlainH5.open('w.h5', bytesSource(bytes)) as PlainH5).dataset('d0');
      const width = DTYPE_BYTES[dtype as Dtype];
      const values = Uint8Array.from({ length: count * width }, (_, i) => (i * 31) % 256);
      const written = async (open: (source: GrowingBytes) => Promise<Hdf5> | Hdf5) => {
        const copy = new GrowingBytes(bytes);
        const file = await open(copy);
        file.writeBytes('d0', values, from);
        file.close();
        return copy.bytes;
      };
      const plain = await written((source) => PlainH5.open('w.h5', source) as PlainH5);
      assert.equal(plain, await written((source) => H5File.open('w.h5', source)));
    }),
    { numRuns: 30 },
  );
});

/** Where the nodes of an index begin: `TREE`, of chunks. */
function nodesOf(bytes: Uint8Array): number[] {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const found: number[] = [];
  for (let at = text.indexOf('TREE\x01'); at >= 0; at = text.indexOf('TREE\x01', at + 1)) found.push(at);
  return found;
}

/** Bytes of a node: its head, 64 addresses and 65 keys. */
const nodeBytes = (rank: number) => 24 + 8 * 64 + 65 * (8 + 8 * (rank + 1));

const DAMAGED: readonly Case[] = [
  // Levels: one, two, two with a last row and column that reach over.
  { shape: [9, 7], chunks: [4, 3], dtype: '<f4' },
  { shape: [300], chunks: [2], dtype: '<f4' },
  { shape: [40, 30], chunks: [3, 4], dtype: '<f8' },
  { shape: [5, 4, 6], chunks: [2, 4, 3], dtype: '<B' },
];

for (const one of DAMAGED)
  test(`an index of [${one.shape}] in [${one.chunks}] with damage is left to HDF5, or it is the same to HDF5`, async () => {
    const bytes = await fileOf([one]);
    const nodes = nodesOf(bytes);
    const used = nodes.flatMap((at) => {
      const view = new DataView(bytes.buffer, bytes.byteOffset + at);
      const entry = 16 + 8 * (one.shape.length + 1);
      return [
        { at, bytes: Math.min(nodeBytes(one.shape.length), 24 + (view.getUint16(6, true) + 1) * entry) },
      ];
    });
    assert.ok(await assertSameHdf5(bytes, 'sound.h5'));
    const ofNodes = fc
      .constantFrom(...used)
      .chain((node) => fc.nat(node.bytes - 1).map((at) => node.at + at));
    const place = fc.oneof(
      { weight: 4, arbitrary: ofNodes },
      { weight: 1, arbitrary: fc.nat(bytes.length - 1) },
    );
    // A byte; a word that is another one of the index, or a little more or less; two words in each other's place.
    const change = fc.oneof(
      fc.record({ at: place, byte: fc.nat(255) }),
      fc.record({ at: place, like: place }),
      fc.record({ at: place, add: fc.constantFrom(-4, -1, 1, 2, 4, 8, 24, 2 ** 31) }),
      fc.record({ at: place, swap: place }),
    );
    const wordAt = (at: number) => at - ((at - (nodes[0] as number)) % 8);
    let taken = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 2 }), async (changes) => {
        const damaged = bytes.slice();
        const view = new DataView(damaged.buffer);
        for (const { at, ...how } of changes as {
          at: number;
          byte?: number;
          like?: number;
          add?: number;
          swap?: number;
        }[]) {
          const [to, other] = [wordAt(at), wordAt(how.like ?? how.swap ?? at)];
          if (Math.max(to, other) + 8 > damaged.length) continue;
          const [mine, theirs] = [view.getBigUint64(to, true), view.getBigUint64(other, true)];
          if (how.byte !== undefined) damaged[at] = how.byte;
          else if (how.add !== undefined)
            view.setBigUint64(to, BigInt.asUintN(64, mine + BigInt(how.add)), true);
          else view.setBigUint64(to, theirs, true);
          if (how.swap !== undefined) view.setBigUint64(other, mine, true);
        }
        if (await assertSameHdf5(damaged, 'damaged.h5')) taken++;
      }),
      { numRuns: 150 },
    );
    assert.ok(taken > 3 && taken < 120, `${taken} of 150`);
  });

/** A sound file with one number of its index changed. */
async function changed(change: (view: DataView, node: number) => void): Promise<Uint8Array> {
  const bytes = (await fileOf([{ shape: [9, 7], chunks: [4, 3], dtype: '<f4' }])).slice();
  change(new DataView(bytes.buffer), nodesOf(bytes)[0] as number);
  return bytes;
}

const KEY = 32;
const ENTRY = KEY + 8;
for (const [what, change] of [
  ['a chunk of more bytes', (view, node) => view.setUint32(node + 24, 52, true)],
  ['a chunk that a filter was left out for', (view, node) => view.setUint32(node + 28, 1, true)],
  ['an index without its last chunk', (view, node) => view.setUint16(node + 6, 8, true)],
  ['an index of no chunks', (view, node) => view.setUint16(node + 6, 0, true)],
  [
    'a chunk at another place of the tensor',
    (view, node) => view.setBigUint64(node + 24 + ENTRY + 16, 6n, true),
  ],
  ['a place between two chunks', (view, node) => view.setBigUint64(node + 24 + ENTRY + 16, 4n, true)],
  [
    'a last key that is not behind the last chunk',
    (view, node) => view.setBigUint64(node + 24 + 9 * ENTRY + 8, 4n, true),
  ],
  [
    'two chunks at one address',
    (view, node) =>
      view.setBigUint64(node + 24 + KEY, view.getBigUint64(node + 24 + KEY + ENTRY, true), true),
  ],
  [
    'a chunk that reaches over the end',
    (view, node) => view.setBigUint64(node + 24 + KEY, BigInt(view.byteLength - 40), true),
  ],
  ['a chunk that is not there', (view, node) => view.setBigUint64(node + 24 + KEY, 2n ** 64n - 1n, true)],
  ['an index of groups', (view, node) => view.setUint8(node + 4, 0)],
  ['an index a level higher', (view, node) => view.setUint8(node + 5, 1)],
] as [string, (view: DataView, node: number) => void][])
  test(`${what}: left to HDF5`, async () => {
    const bytes = await changed(change);
    assert.is(PlainH5.open('changed.h5', bytesSource(bytes)), undefined);
  });

test('chunks that were never written, or behind filters, are left to HDF5, and open', async () => {
  type Resizable = { resize(shape: number[]): void };
  const grown = await h5((file) => {
    file.create_dataset({
      name: 'a',
      data: [1, 2],
      shape: [2],
      chunks: [2],
      maxshape: [null],
      dtype: '<f4',
    } as never);
    (file.get('a') as unknown as Resizable).resize([6]);
  });
  const packed = await h5((file) => {
    file.create_dataset({
      name: 'a',
      data: [1, 2],
      shape: [2],
      chunks: [2],
      compression: 4,
      dtype: '<f4',
    } as never);
  });
  for (const [bytes, values] of [
    [grown, [1, 2, 0, 0, 0, 0]],
    [packed, [1, 2]],
  ] as const) {
    assert.is(PlainH5.open('other.h5', bytesSource(bytes)), undefined);
    const file = await openHdf5('other.h5', bytesSource(bytes));
    assert.equal(new Uint8Array(Float32Array.from(values).buffer), file.readBytes('a'));
    file.close();
  }
});

test('a box of few numbers in chunks of many takes little memory', async () => {
  const bytes = await fileOf([{ shape: [3000, 800], chunks: [2999, 799], dtype: '<f4' }]);
  const reads: number[] = [];
  const inner = bytesSource(bytes);
  const source = {
    size: inner.size,
    read(target: Uint8Array, at: number) {
      reads.push(target.length);
      return inner.read(target, at);
    },
  };
  const file = PlainH5.open('wide.h5', source) as PlainH5;
  reads.length = 0;
  const found = file.readBox('d0', [0, 5], [3000, 1]);
  assert.ok(Math.max(...reads) < 2 ** 16, `${Math.max(...reads)}`);
  const all = new Float32Array(file.readBytes('d0').buffer);
  assert.equal(
    new Float32Array(found.buffer),
    Float32Array.from({ length: 3000 }, (_, row) => all[row * 800 + 5] as number),
  );
});

test('more chunks than there is reason for are left to HDF5 before there is room for them', async () => {
  const bytes = await fileOf([{ shape: [77], chunks: [1], dtype: '<B' }]);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  // Size and largest size of the only axis.
  const isSize = (at: number) =>
    view.getBigUint64(at, true) === 77n && view.getBigUint64(at + 8, true) === 77n;
  const at = Array.from({ length: bytes.length / 8 - 2 }, (_, i) => 8 * i).find(isSize) as number;
  for (const place of [at, at + 8]) view.setBigUint64(place, 2n ** 33n, true);
  assert.is(PlainH5.open('claims.h5', bytesSource(bytes)), undefined);
});

test.run();
