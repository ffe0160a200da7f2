import * as fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  readSafetensorsHeader,
  type SafetensorsHeader,
  type SafetensorsTensor,
  safetensorsHeaderBytes,
  writeSafetensors,
} from '../../src/formats/safetensors.js';
import { DTYPE_BYTES, type Dtype } from '../../src/model.js';
import { concat, embedded, hex, refusesTruncations, survivesBitFlips, throwsCode } from './damage.js';

const read = (bytes: Uint8Array) => readSafetensorsHeader(bytes, 'some.safetensors');

const write = (tensors: SafetensorsTensor[], metadata: [string, string][] = []) =>
  concat(...writeSafetensors(tensors, metadata));

const tensor = (name: string, dtype: Dtype, shape: number[], fill = 0): SafetensorsTensor => ({
  name,
  dtype,
  shape,
  bytes: () => new Uint8Array(shape.reduce((a, b) => a * b, 1) * DTYPE_BYTES[dtype]).fill(fill),
});

/** A file with any header text and `size` bytes of data. */
function file(header: string, size = 0): Uint8Array {
  const text = new TextEncoder().encode(header);
  const prefix = new Uint8Array(8);
  new DataView(prefix.buffer).setUint32(0, text.length, true);
  return concat(prefix, text, new Uint8Array(size));
}

/** A file with one tensor, some of whose fields are other than they should be. */
const lie = (fields: Record<string, unknown>, size = 8) =>
  file(JSON.stringify({ w: { dtype: 'F32', shape: [2], data_offsets: [0, 8], ...fields } }), size);

const GOLDEN_HEADER = '{"a":{"dtype":"I8","shape":[2,1],"data_offsets":[0,2]}}';
const GOLDEN = concat(hex('37 00 00 00 00 00 00 00'), GOLDEN_HEADER, [1, 255]);

test('a golden file', () => {
  const header = read(embedded(GOLDEN));
  assert.equal([...header.tensors.values()], [{ name: 'a', dtype: 'I8', shape: [2, 1], start: 0, end: 2 }]);
  assert.is(header.dataStart, 63);
  assert.is(header.fileSize, 65);
  assert.is(header.metadata.size, 0);
  assert.is(safetensorsHeaderBytes(GOLDEN, 'golden'), 63);
});

test('the header alone is enough when the size of the file is known', () => {
  const header = readSafetensorsHeader(GOLDEN.subarray(0, 63), 'golden', 65);
  assert.equal(header, read(GOLDEN));
  const at = (size: number) => () => readSafetensorsHeader(GOLDEN.subarray(0, 63), 'golden', size);
  throwsCode(at(64), 'corrupt-file', 'golden', 'expected 65 bytes in all, got 64');
  throwsCode(at(66), 'corrupt-file', 'golden', 'expected 65 bytes in all, got 66');
});

test('the bytes that are written: padded header, wide types first, then as given', () => {
  const tensors = [tensor('b', 'U8', [1], 1), tensor('a', 'F32', [1], 2), tensor('c', 'U8', [2], 3)];
  const bytes = write(tensors, [['k', 'v']]);
  const json =
    '{"__metadata__":{"k":"v"},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},' +
    '"b":{"dtype":"U8","shape":[1],"data_offsets":[4,5]},"c":{"dtype":"U8","shape":[2],"data_offsets":[5,7]}}';
  const padded = json.padEnd(Math.ceil(json.length / 8) * 8);
  assert.equal(bytes, concat([padded.length, 0, 0, 0, 0, 0, 0, 0], padded, [2, 2, 2, 2, 1, 3, 3]));
  assert.equal([...read(bytes).metadata], [['k', 'v']]);
});

test('no tensors, scalars and tensors without elements', () => {
  assert.is(read(file('{}')).tensors.size, 0);
  assert.is(read(write([])).tensors.size, 0);
  const { tensors } = read(
    write([tensor('e', 'F64', [0, 3]), tensor('s', 'F64', []), tensor('f', 'U8', [0])]),
  );
  assert.equal(tensors.get('s'), { name: 's', dtype: 'F64', shape: [], start: 0, end: 8 });
  assert.is(tensors.get('e')?.end, 0);
  assert.is(tensors.get('f')?.start, 8);
});

test('tensors may be listed in any order, the header may end in spaces', () => {
  const header =
    '{"z":{"shape":[1],"data_offsets":[2,3],"dtype":"U8"},"a":{"dtype":"F16","shape":[1],"data_offsets":[0,2]}}';
  assert.equal([...read(file(`${header}   `, 3)).tensors.keys()], ['a', 'z']);
});

test('names that JavaScript objects have already are names like others', () => {
  const names = [
    '__proto__',
    'constructor',
    'toString',
    'hasOwnProperty',
    '',
    '0',
    ' a\n"\\',
    'ünïcödé',
    '\ud800',
  ];
  const header = read(
    write(
      names.map((name) => tensor(name, 'U8', [1])),
      [
        ['__proto__', 'x'],
        ['', 'y'],
      ],
    ),
  );
  assert.equal(new Set(header.tensors.keys()), new Set(names));
  assert.is(header.metadata.get('__proto__'), 'x');
  assert.is(({} as Record<string, unknown>).dtype, undefined);
  throwsCode(() => read(lie({ dtype: 'toString' })), 'unsupported-dtype', 'tensor w has the type toString');
  throwsCode(() => read(lie({ dtype: '__proto__' })), 'unsupported-dtype');
});

test('what is no safetensors file is told so', () => {
  const bad = [
    new Uint8Array(),
    hex('02 00 00 00 00 00 00'),
    hex('0100000000000000 7b'),
    file('[]'),
    file(' {}'),
    concat('\x89HDF\r\n\x1a\n', new Uint8Array(100)),
    hex('00e1f50600000000 7b'),
    hex('ffffffffffffffff 7b'),
    hex('0200000000000080 7b7d'),
  ];
  // 50,000,000 is the longest header that is read, 100,000,000 the longest of the format.
  throwsCode(() => read(hex('80f0fa0200000000 7b')), 'corrupt-file', 'cut off in the header');
  throwsCode(() => read(hex('81f0fa0200000000 7b')), 'too-large', '50000001 bytes');
  throwsCode(() => read(hex('00e1f50500000000 7b')), 'too-large', 'expected at most 50000000');
  throwsCode(() => read(hex('01e1f50500000000 7b')), 'not-safetensors');
  for (const bytes of bad) throwsCode(() => read(bytes), 'not-safetensors', 'some.safetensors');
});

test('headers that are no proper JSON objects', () => {
  const entry = '{"dtype":"U8","shape":[],"data_offsets":[0,1]}';
  const bad = ['{ ', '{"a"}', '{}}', '{}\0', '{"a":1}', '{"a":null}', '{"a":[]}', '{"a":{}}', "{'a':1}"];
  bad.push(`{"a":${entry},}`, `{"a":${entry}} x`, `{"__metadata__":[],"a":${entry}}`);
  bad.push(`{"__metadata__":{"n":1},"a":${entry}}`, `{"__metadata__":{"n":null},"a":${entry}}`);
  for (const header of bad) throwsCode(() => read(file(header, 1)), 'corrupt-file', 'some.safetensors');
  const notUtf8 = file('{"?":1}');
  notUtf8[10] = 0xff;
  throwsCode(() => read(notUtf8), 'corrupt-file', 'not JSON in UTF-8');
  throwsCode(() => read(file(`{"a":${'['.repeat(1_000_000)}`)), 'corrupt-file');
});

test('a name used twice is refused, whatever hides in texts', () => {
  const u8 = (from: number) => `{"dtype":"U8","shape":[1],"data_offsets":[${from},${from + 1}]}`;
  throwsCode(() => read(file(`{"a":${u8(0)},"a":${u8(0)}}`, 1)), 'corrupt-file', 'used twice');
  throwsCode(() => read(file(`{"a":${u8(0)},"\\u0061":${u8(0)}}`, 1)), 'corrupt-file', 'used twice');
  throwsCode(() => read(file('{"__metadata__":{"k":"1","k":"2"}}')), 'corrupt-file', 'used twice');
  const twice = '{"w":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}}';
  throwsCode(() => read(file(twice, 1)), 'corrupt-file', 'used twice');
  const texts = file(JSON.stringify({ __metadata__: { '{"a":': '\\"},{"a":{"b":"c"' } }));
  assert.is(read(texts).metadata.size, 1);
});

test('types, shapes and offsets that contradict each other', () => {
  throwsCode(
    () => read(lie({ dtype: 'F8_E4M3' })),
    'unsupported-dtype',
    'some.safetensors',
    'tensor w',
    'F8_E4M3',
  );
  const bad: Record<string, unknown>[] = [
    { dtype: 1 },
    { dtype: undefined },
    { dtype: 'F64' },
    { shape: undefined },
    { shape: '2' },
    { shape: { length: 1, 0: 2 } },
    { shape: [2.5] },
    { shape: [-2] },
    { shape: ['2'] },
    { shape: [2, null] },
    { shape: [3] },
    { shape: [2, 2] },
    { shape: [2 ** 53] },
    { shape: [2 ** 31, 2 ** 31, 2 ** 31] },
    { shape: [...new Array(30).fill(2 ** 52), 0], data_offsets: [0, 0] },
    { data_offsets: undefined },
    { data_offsets: [0] },
    { data_offsets: [0, 8, 8] },
    { data_offsets: [8, 0] },
    { data_offsets: [-8, 0] },
    { data_offsets: [0, '8'] },
    { data_offsets: [0.5, 8.5] },
    { data_offsets: [0, 2 ** 60] },
    { data_offsets: [2 ** 53 - 9, 2 ** 53 - 1] },
  ];
  for (const fields of bad) {
    throwsCode(() => read(lie(fields)), 'corrupt-file', 'some.safetensors', 'tensor w');
  }
});

test('holes, overlaps and bytes left over', () => {
  const two = (a: number[], b: number[], size: number) => {
    const entry = (offsets: number[]) => ({ dtype: 'U8', shape: [2], data_offsets: offsets });
    return file(JSON.stringify({ a: entry(a), b: entry(b) }), size);
  };
  assert.is(read(two([2, 4], [0, 2], 4)).tensors.size, 2);
  throwsCode(() => read(two([1, 3], [3, 5], 5)), 'corrupt-file', 'tensor a starts at 1, expected 0');
  throwsCode(() => read(two([0, 2], [3, 5], 5)), 'corrupt-file', 'tensor b starts at 3, expected 2');
  throwsCode(() => read(two([0, 2], [1, 3], 3)), 'corrupt-file', 'tensor b starts at 1, expected 2');
  throwsCode(() => read(two([0, 2], [0, 2], 2)), 'corrupt-file', 'tensor b starts at 0, expected 2');
  throwsCode(() => read(two([0, 2], [2, 4], 5)), 'corrupt-file', 'bytes in all');
  throwsCode(() => read(two([0, 2], [2, 4], 3)), 'corrupt-file', 'bytes in all');
  throwsCode(() => read(concat(file('{}'), [0])), 'corrupt-file', 'expected 10 bytes in all, got 11');
});

test('the length of the header is a lie', () => {
  for (const delta of [-55, -53, -1, 1, 2, 1000]) {
    const bytes = GOLDEN.slice();
    new DataView(bytes.buffer).setUint32(0, 55 + delta, true);
    throwsCode(() => read(bytes), delta === -55 ? 'not-safetensors' : 'corrupt-file');
  }
});

test('every truncation is refused; bit flips are refused or give a header that covers the file', () => {
  const small = write([tensor('conv/kernel', 'F16', [2, 3]), tensor('bias', 'F32', [2])], [['format', 'x']]);
  refusesTruncations(small, read);
  refusesTruncations(GOLDEN, read);
  const covers = ({ tensors, dataStart, fileSize }: SafetensorsHeader) =>
    [...tensors.values()].reduce((at, { start, end }) => (start === at ? end : Number.NaN), 0) ===
    fileSize - dataStart;
  for (const bytes of [small, GOLDEN]) {
    const refused = survivesBitFlips(bytes, 2000, read, covers);
    assert.ok(refused > 1000, String(refused));
  }
});

test('any tensors and metadata come back, each aligned to its type', () => {
  const dtypes = fc.constantFrom(...(Object.keys(DTYPE_BYTES) as Dtype[]));
  const shapes = fc.array(fc.nat({ max: 5 }), { maxLength: 4 });
  const names = fc.string({ unit: 'binary', maxLength: 12 }).filter((name) => name !== '__metadata__');
  const entries = fc.uniqueArray(fc.tuple(names, dtypes, shapes, fc.nat({ max: 255 })), {
    selector: ([name]) => name,
    maxLength: 8,
  });
  const metadata = fc.uniqueArray(fc.tuple(fc.string(), fc.string({ unit: 'binary' })), {
    selector: ([key]) => key,
  });
  fc.assert(
    fc.property(entries, metadata, (wanted, texts) => {
      const bytes = write(
        wanted.map(([name, dtype, shape, fill]) => tensor(name, dtype, shape, fill)),
        texts,
      );
      const header = read(embedded(bytes));
      assert.equal(new Map(header.metadata), new Map(texts));
      assert.is(header.tensors.size, wanted.length);
      for (const [name, dtype, shape, fill] of wanted) {
        const entry = header.tensors.get(name);
        assert.ok(entry, name);
        assert.equal([entry.dtype, entry.shape], [dtype, shape]);
        assert.is((header.dataStart + entry.start) % DTYPE_BYTES[dtype], 0);
        const data = bytes.subarray(header.dataStart + entry.start, header.dataStart + entry.end);
        assert.ok(data.every((byte) => byte === fill));
      }
    }),
    { seed: 5 },
  );
});

test('the writer refuses names used twice and bytes that do not fit', () => {
  const twins = [tensor('a', 'U8', [1]), tensor('a', 'F32', [1])];
  assert.throws(
    () => write(twins),
    (error: Error) => error instanceof RangeError && /"a" is used twice/.test(error.message),
  );
  assert.throws(() => write([tensor('__metadata__', 'U8', [1])]), /used twice/);
  const short = { ...tensor('a', 'F32', [2]), bytes: () => new Uint8Array(7) };
  assert.throws(() => write([short]), /tensor a has 7 bytes/);
});

test('the writer asks for bytes one tensor at a time', () => {
  const asked: string[] = [];
  const lazy = (name: string): SafetensorsTensor => ({
    ...tensor(name, 'U8', [1]),
    bytes: () => {
      asked.push(name);
      return new Uint8Array(1);
    },
  });
  const pieces = writeSafetensors([lazy('a'), lazy('b')], []);
  pieces.next();
  assert.equal(asked, []);
  pieces.next();
  assert.equal(asked, ['a']);
});

test.run();
