import { readFileSync } from 'node:fs';
import { strFromU8, strToU8, zipSync } from 'fflate';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { writeNpy } from '../../src/formats/npy.js';
import { openNpz } from '../../src/formats/npz.js';
import { readZipDirectory, readZipEntry } from '../../src/formats/zip.js';
import { need, runPython, tempDir } from '../support/needs.js';
import { refusesTruncations, survivesBitFlips, throwsCode } from './damage.js';

const fixture = (name: string) =>
  new Uint8Array(readFileSync(new URL(`../fixtures/npz/${name}`, import.meta.url)));

const text = 'one bit or one nibble '.repeat(20);
const sample = () =>
  zipSync({
    'a.txt': [strToU8(text), { level: 9 }],
    'sub/b.txt': [strToU8('b'), { level: 0 }],
    empty: new Uint8Array(0),
  });

/** All members, unpacked. */
function readAll(bytes: Uint8Array, limit?: number): Map<string, Uint8Array> {
  const entries = readZipDirectory(bytes, 'a.zip');
  return new Map(
    entries.map((entry) => [entry.name, readZipEntry(bytes, entry, { name: 'a.zip', limit })] as const),
  );
}

/** Offset of the n-th occurrence of a 4-byte signature. */
function find(bytes: Uint8Array, signature: number, n = 0): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0, seen = 0; at + 4 <= bytes.length; at++) {
    if (view.getUint32(at, true) === signature && seen++ === n) {
      return at;
    }
  }
  throw new Error('no such record');
}

const CENTRAL = 0x02014b50;
const LOCAL = 0x04034b50;
const END = 0x06054b50;

/** A copy with one little-endian number changed. */
function patched(bytes: Uint8Array, at: number, size: 2 | 4, value: number): Uint8Array {
  const copy = bytes.slice();
  const view = new DataView(copy.buffer);
  if (size === 2) {
    view.setUint16(at, value, true);
  } else {
    view.setUint32(at, value, true);
  }
  return copy;
}

test('reads stored, deflated and empty members', () => {
  const all = readAll(sample());
  assert.equal([...all.keys()], ['a.txt', 'sub/b.txt', 'empty']);
  assert.is(strFromU8(all.get('a.txt')!), text);
  assert.is(strFromU8(all.get('sub/b.txt')!), 'b');
  assert.is(all.get('empty')!.length, 0);
  assert.is(readZipDirectory(zipSync({})).length, 0);
});

test('reads at any offset, and past a comment', () => {
  const zip = sample();
  const commented = Uint8Array.from([...patched(zip, zip.length - 2, 2, 5), ...strToU8('hello')]);
  assert.is(readAll(commented).size, 3);
  assert.is(readAll(Uint8Array.from([1, 2, 3, ...zip]).subarray(3)).size, 3);
});

test('bytes before, between or behind are refused', () => {
  const zip = sample();
  throwsCode(() => readAll(Uint8Array.from([...zip, 0])), 'not-zip', 'a.zip');
  throwsCode(() => readAll(Uint8Array.from([0, ...zip])), 'corrupt-file', 'a.zip');
  throwsCode(() => readAll(strToU8('PK but no zip at all, only text')), 'not-zip');
  throwsCode(() => readAll(new Uint8Array(0)), 'not-zip');
});

test('two members of one name are refused', () => {
  const zip = zipSync({ 'x.npy': strToU8('a'), 'y.npy': strToU8('b') });
  const twin = zip.slice();
  twin[find(zip, LOCAL, 1) + 30] = 'x'.charCodeAt(0);
  twin[find(zip, CENTRAL, 1) + 46] = 'x'.charCodeAt(0);
  throwsCode(
    () => openNpz(twin, { name: 'twin.npz' }),
    'corrupt-file',
    'twin.npz',
    'two members are called x.npy',
  );
});

test('headers that contradict each other are refused', () => {
  const zip = sample();
  const central = find(zip, CENTRAL);
  const local = find(zip, LOCAL);
  const end = find(zip, END);
  const renamed = zip.slice();
  renamed[local + 30] = 'z'.charCodeAt(0);
  throwsCode(() => readAll(renamed), 'corrupt-file', 'another name');
  throwsCode(() => readAll(patched(zip, local + 8, 2, 0)), 'corrupt-file', 'contradicts');
  throwsCode(() => readAll(patched(zip, central + 42, 4, find(zip, LOCAL, 1))), 'corrupt-file');
  throwsCode(() => readAll(patched(zip, central + 42, 4, 0xfffffff0)), 'corrupt-file', 'cut off');
  throwsCode(() => readAll(patched(zip, central + 16, 4, 1)), 'corrupt-file', 'a.txt is damaged');
  throwsCode(() => readAll(patched(zip, end + 10, 2, 2)), 'unsupported-version');
  throwsCode(() => readAll(patched(patched(zip, end + 10, 2, 2), end + 8, 2, 2)), 'corrupt-file');
  throwsCode(
    () => readAll(patched(patched(zip, end + 10, 2, 4), end + 8, 2, 4)),
    'corrupt-file',
    '4 members',
  );
  throwsCode(() => readAll(patched(zip, end + 12, 4, 10)), 'corrupt-file');
});

test('overlapping members are refused', () => {
  // b.txt is stored: let it claim the bytes of what follows.
  const zip = sample();
  const central = find(zip, CENTRAL, 1);
  const greedy = patched(patched(zip, central + 20, 4, 60), central + 24, 4, 60);
  throwsCode(() => readAll(greedy), 'corrupt-file', 'overlaps');
});

test('encryption and other compressions are refused', () => {
  const zip = sample();
  const central = find(zip, CENTRAL);
  throwsCode(() => readAll(patched(zip, central + 8, 2, 1)), 'unsupported-filter', 'encrypted');
  throwsCode(() => readAll(patched(zip, central + 10, 2, 12)), 'unsupported-filter', 'zip compression 12');
});

test('a zip bomb is refused by what it states, and by what it holds', () => {
  const bomb = zipSync({ bomb: new Uint8Array(10_000_000) });
  throwsCode(() => readAll(bomb, 1_000_000), 'too-large', '10000000', '1000000');
  assert.is(readAll(bomb, 10_000_000).get('bomb')!.length, 10_000_000);
  const central = find(bomb, CENTRAL);
  throwsCode(
    () => readAll(patched(bomb, central + 24, 4, 1000), 1_000_000),
    'corrupt-file',
    'bomb is damaged',
  );
  throwsCode(() => readAll(patched(bomb, central + 24, 4, 0xfffffffe)), 'corrupt-file', 'cannot be');
  throwsCode(() => readAll(patched(bomb, central + 24, 4, 9_999_999)), 'corrupt-file', 'longer than stated');
  throwsCode(
    () => readAll(patched(bomb, central + 24, 4, 10_000_001)),
    'corrupt-file',
    'shorter than stated',
  );
});

test('a member that grows more than a hundredfold is refused above 64 MiB', () => {
  const zeros = new Uint8Array(2 ** 26 + 1);
  const bomb = zipSync({ bomb: [zeros, { level: 9 }] });
  throwsCode(() => readAll(bomb), 'too-large', 'bomb', '100 times', String(zeros.length));
  const central = find(bomb, CENTRAL);
  throwsCode(() => readAll(patched(bomb, central + 24, 4, 2 ** 26)), 'corrupt-file', 'longer than stated');
});

test('names that lead out of the archive are refused', () => {
  const outside = [
    '/a',
    '\\a',
    '..',
    '../a',
    '..\\a',
    'a/..',
    'a/../b',
    'a\\..\\b',
    'C:a',
    'c:\\a',
    '//host/a',
    'a\0b',
  ];
  for (const name of outside) {
    const zip = zipSync({ [name]: strToU8('x') });
    throwsCode(() => readAll(zip), 'corrupt-file', 'a.zip', JSON.stringify(name), 'leads out');
  }
  const inside = ['a..b', '...', 'a/...', '..a', 'a../b', 'ab:c', 'a\\b', '.a', './a', 'constructor'];
  for (const name of inside) {
    assert.equal([...readAll(zipSync(Object.fromEntries([[name, strToU8('x')]]))).keys()], [name]);
  }
});

test('npz: names, missing arrays, members that are no arrays', () => {
  const npz = openNpz(
    zipSync({ 'x.npy': writeNpy({ shape: [2], data: Float32Array.of(1, 2) }), 'note.txt': strToU8('hi') }),
    { name: 'n.npz' },
  );
  assert.equal(npz.names, ['x']);
  assert.equal(npz.read('x').data, Float32Array.of(1, 2));
  throwsCode(() => npz.read('y'), 'not-found', 'n.npz', '"y"', 'holds x');
  throwsCode(() => openNpz(zipSync({ 'x.npy': strToU8('hi') })).read('x'), 'not-npy', 'x.npy');
});

test('every truncation is refused; bit flips are refused or harmless', () => {
  for (const zip of [sample(), fixture('keras.npz')]) {
    refusesTruncations(zip, readAll);
    const whole = readAll(zip);
    const contents = [...whole.values()].map((data) => strFromU8(data, true)).join('|');
    const refused = survivesBitFlips(
      zip,
      4000,
      (bytes) => readAll(bytes, 100_000),
      // Names are not under a checksum; contents are.
      (all) => [...all.values()].map((data) => strFromU8(data, true)).join('|') === contents,
    );
    assert.ok(refused > 2000, String(refused));
  }
});

const python = need(test, 'python');
python('zip64 as Python writes it', async () => {
  const file = `${tempDir()}/zip64.zip`;
  // Limits lowered so that a small file gets zip64 sizes, offsets and end records.
  await runPython(
    `import sys, zipfile
zipfile.ZIP64_LIMIT = 10
zipfile.ZIP_FILECOUNT_LIMIT = 1
with zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED) as z:
    z.writestr('a', 'a' * 1000)
    z.writestr('b', 'b' * 5)
`,
    [file],
  );
  const zip = new Uint8Array(readFileSync(file));
  find(zip, 0x06064b50); // the zip64 end record is there
  const all = readAll(zip);
  assert.is(strFromU8(all.get('a')!), 'a'.repeat(1000));
  assert.is(strFromU8(all.get('b')!), 'bbbbb');
  refusesTruncations(zip, readAll);
});

test.run();
