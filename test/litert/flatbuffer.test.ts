import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { layOut, type Node, Table, Vector } from '../../src/litert/flatbuffer.js';

/** What is written and read back: numbers, texts, lists and tables by their slots. */
type Tree = { [slot: number]: number | string | number[] | Tree | Tree[] };

const trees = fc.letrec<{ tree: Tree; value: Tree[number] }>((tie) => ({
  tree: fc.dictionary(fc.integer({ min: 0, max: 9 }).map(String), tie('value'), {
    maxKeys: 5,
  }) as fc.Arbitrary<Tree>,
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }).filter((n) => n !== 0),
    fc.string(),
    fc.array(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), { maxLength: 5 }),
    tie('tree'),
    fc.array(tie('tree'), { minLength: 1, maxLength: 4 }),
  ) as fc.Arbitrary<Tree[number]>,
}));

const isTrees = (value: Tree[number]): value is Tree[] =>
  Array.isArray(value) && typeof value[0] === 'object';

function tableOf(tree: Tree): Table {
  const table = new Table();
  for (const [key, value] of Object.entries(tree)) {
    const slot = Number(key);
    if (typeof value === 'number') table.scalar(slot, 'int32', value);
    else if (typeof value === 'string') table.text(slot, value);
    else if (isTrees(value)) table.tables(slot, value.map(tableOf));
    else if (Array.isArray(value)) table.ints(slot, value);
    else table.node(slot, tableOf(value));
  }
  return table;
}

const bytesOf = (root: Table) => {
  const { length, pieces } = layOut(root, 'TEST');
  const bytes = Buffer.concat([...pieces()]);
  assert.is(bytes.length, length);
  return bytes;
};

/** Reads what a table should hold, by the rules of the format alone. */
function holds(bytes: Buffer, at: number, tree: Tree): void {
  assert.is(at % 4, 0);
  const vtable = at - bytes.readInt32LE(at);
  const slots = (bytes.readUInt16LE(vtable) - 4) / 2;
  const field = (slot: number) => (slot < slots ? bytes.readUInt16LE(vtable + 4 + 2 * slot) : 0);
  for (let slot = 0; slot < 10; slot++) {
    const place = field(slot);
    const value = tree[slot];
    assert.is(place !== 0, value !== undefined, `slot ${slot}`);
    if (value === undefined) continue;
    assert.ok(place < bytes.readUInt16LE(vtable + 2));
    const to = at + place;
    if (typeof value === 'number') {
      assert.is(bytes.readInt32LE(to), value);
      continue;
    }
    const target = to + bytes.readUInt32LE(to);
    assert.ok(target > to);
    const count = bytes.readUInt32LE(target);
    if (typeof value === 'string') {
      const own = Buffer.from(value);
      assert.is(count, own.length);
      assert.equal(bytes.subarray(target + 4, target + 4 + count), own);
      assert.is(bytes[target + 4 + count], 0);
    } else if (isTrees(value)) {
      assert.is(count, value.length);
      value.forEach((one, i) => {
        const from = target + 4 + 4 * i;
        holds(bytes, from + bytes.readUInt32LE(from), one);
      });
    } else if (Array.isArray(value))
      assert.equal(
        value.map((_, i) => bytes.readInt32LE(target + 4 + 4 * i)),
        value,
      );
    else holds(bytes, target, value);
  }
}

test('tables, texts, lists and lists of tables are read back', () => {
  fc.assert(
    fc.property(trees.tree, (tree) => {
      const bytes = bytesOf(tableOf(tree));
      assert.is(bytes.toString('latin1', 4, 8), 'TEST');
      holds(bytes, bytes.readUInt32LE(0), tree);
    }),
  );
});

test('small numbers stand behind wide ones, and defaults are left out', () => {
  const table = new Table()
    .scalar(0, 'int8', -3)
    .scalar(1, 'bool', 1)
    .scalar(2, 'float32', 0.5)
    .scalar(3, 'int32', 1, 1)
    .scalar(4, 'uint8', 200);
  const bytes = bytesOf(table);
  const at = bytes.readUInt32LE(0);
  const vtable = at - bytes.readInt32LE(at);
  const field = (slot: number) => bytes.readUInt16LE(vtable + 4 + 2 * slot);
  assert.is(field(3), 0);
  assert.is(field(2) % 4, 0);
  assert.is(bytes.readInt8(at + field(0)), -3);
  assert.is(bytes.readUInt8(at + field(1)), 1);
  assert.is(bytes.readFloatLE(at + field(2)), 0.5);
  assert.is(bytes.readUInt8(at + field(4)), 200);
});

test('data are aligned, made once and only when they are written; equal tables share what describes them', () => {
  let made = 0;
  const large = (fill: number): Node =>
    Vector.bytes(
      {
        length: 100_001,
        bytes: () => {
          made++;
          return new Uint8Array(100_001).fill(fill);
        },
      },
      100_001,
      16,
    );
  const file = layOut(
    new Table().tables(
      0,
      [1, 2, 3].map((fill) => new Table().node(0, large(fill))),
    ),
    'TEST',
  );
  assert.is(made, 0);
  const pieces = [...file.pieces()];
  assert.is(made, 3);
  assert.ok(pieces.length < 12, `${pieces.length} pieces`);
  const bytes = Buffer.concat(pieces);
  assert.is(bytes.length, file.length);
  const follow = (at: number) => at + bytes.readUInt32LE(at);
  const root = bytes.readUInt32LE(0);
  const list = follow(root + 4);
  const vtables = new Set<number>();
  for (const fill of [1, 2, 3]) {
    const table = follow(list + 4 * fill);
    vtables.add(table - bytes.readInt32LE(table));
    const data = follow(table + 4);
    assert.is((data + 4) % 16, 0);
    assert.ok(bytes.subarray(data + 4, data + 4 + 100_001).every((b) => b === fill));
  }
  assert.is(vtables.size, 1);
  const wrong = layOut(
    new Table().node(0, Vector.bytes({ length: 5, bytes: () => new Uint8Array(4) })),
    'TEST',
  );
  assert.throws(() => [...wrong.pieces()], /"bytes" expected 5 bytes, got 4/);
});

test.run();
