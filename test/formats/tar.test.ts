import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { readTar } from '../../src/formats/tar.js';
import { need, runPython } from '../support/needs.js';
import { concat, embedded, refusesTruncations, survivesBitFlips, throwsCode } from './damage.js';

const read = (bytes: Uint8Array) => readTar(bytes, 'a.tar');
const ascii = (text: string) => new TextEncoder().encode(text);
const shown = (bytes: Uint8Array) =>
  read(bytes).map(({ name, bytes: b }) => [name, Buffer.from(b).toString()]);
const END = new Uint8Array(1024);

interface Header {
  type?: string;
  size?: string;
  prefix?: string;
  magic?: string;
  checksum?: string;
}

/** One member: header, data, padding. */
function member(name: string, data: string, header: Header = {}): Uint8Array {
  const block = new Uint8Array(512);
  const put = (at: number, text: string) => block.set(ascii(text), at);
  put(0, name);
  put(100, '0000644\0');
  put(124, header.size ?? `${data.length.toString(8).padStart(11, '0')}\0`);
  put(148, ' '.repeat(8));
  put(156, header.type ?? '0');
  put(257, header.magic ?? 'ustar\x0000');
  put(345, header.prefix ?? '');
  const sum = block.reduce((a, b) => a + b, 0);
  put(148, header.checksum ?? `${sum.toString(8).padStart(6, '0')}\0 `);
  return concat(block, data, new Uint8Array(-data.length & 511));
}

/** `LENGTH KEY=VALUE\n` where the length counts its own digits. */
function pax(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  const digits = [1, 2, 3, 4].find((n) => String(rest.length + n).length === n)!;
  return `${rest.length + digits}${rest}`;
}

const TWO = concat(member('a.txt', 'alpha'), member('dir/b.bin', 'x'.repeat(513)), END);

test('files in order, with data at block ends', () => {
  assert.equal(shown(TWO), [
    ['a.txt', 'alpha'],
    ['dir/b.bin', 'x'.repeat(513)],
  ]);
  assert.equal(shown(embedded(TWO)), shown(TWO));
  assert.equal(shown(concat(member('full', 'y'.repeat(512)), member('empty', ''), END)), [
    ['full', 'y'.repeat(512)],
    ['empty', ''],
  ]);
  assert.equal(read(END), []);
});

test('entries are views of the archive', () => {
  assert.is(read(TWO)[0]!.bytes.buffer, TWO.buffer);
});

test('folders are passed over; a type of NUL is a file', () => {
  const archive = concat(
    member('dir/', '', { type: '5' }),
    member('old', 'v7', { type: '\0', magic: '' }),
    END,
  );
  assert.equal(shown(archive), [['old', 'v7']]);
});

test('long names: ustar prefix, pax and GNU', () => {
  const long = `${'folder/'.repeat(20)}file.bin`;
  const archive = concat(
    member('file.bin', '1', { prefix: 'some/prefix' }),
    member('PaxHeader', pax('mtime', '1.5') + pax('path', long), { type: 'x' }),
    member('short', '2'),
    member('././@LongLink', `${long}2\0`, { type: 'L', magic: 'ustar  \0' }),
    member('short', '3', { magic: 'ustar  \0', prefix: '07654321' }),
    member('pax_global_header', pax('comment', 'x'), { type: 'g' }),
    member('short', '4'),
    END,
  );
  assert.equal(shown(archive), [
    ['some/prefix/file.bin', '1'],
    [long, '2'],
    [`${long}2`, '3'],
    ['short', '4'],
  ]);
});

test('a pax size goes before that of the header', () => {
  const archive = concat(
    member('PaxHeader', pax('size', '3'), { type: 'x' }),
    member('big', 'abc', { size: '00000000000\0' }),
    END,
  );
  assert.equal(shown(archive), [['big', 'abc']]);
});

const DAMAGED: readonly (readonly [fault: string, archive: Uint8Array])[] = [
  ['a wrong checksum', concat(member('a', 'b', { checksum: '000001\0 ' }), END)],
  ['no checksum', concat(member('a', 'b', { checksum: '        ' }), END)],
  ['a size past the end', concat(member('a', 'b', { size: '77777777777\0' }), END)],
  ['a size that is no octal number', concat(member('a', 'b', { size: '0000000009x\0' }), END)],
  ['a negative size', concat(member('a', 'b', { size: '-0000000001\0' }), END)],
  ['no size', concat(member('a', '', { size: '\0' }), END)],
  ['no end mark', member('a', 'b')],
  ['data after the end mark', concat(TWO, member('c', 'd'), END)],
  ['a pax record without =', concat(member('p', '6 abc\n', { type: 'x' }), member('a', 'b'), END)],
  ['a pax record past its end', concat(member('p', '99 a=b\n', { type: 'x' }), member('a', 'b'), END)],
  ['a pax record of length 0', concat(member('p', '0 a=b\n', { type: 'x' }), member('a', 'b'), END)],
  [
    'a pax record without its line feed',
    concat(member('p', '7 a=bcd', { type: 'x' }), member('a', 'b'), END),
  ],
  ['a pax record without a length', concat(member('p', 'path=a\n', { type: 'x' }), member('a', 'b'), END)],
  ['a pax size of -1', concat(member('p', pax('size', '-1'), { type: 'x' }), member('a', 'b'), END)],
];

for (const [fault, archive] of DAMAGED) {
  test(`refuses ${fault}`, () => throwsCode(() => read(archive), 'corrupt-file', 'a.tar'));
}

test('refuses names that climb, and one name twice', () => {
  for (const name of ['/etc/passwd', '../up', 'a/../../b', 'a/..', 'C:\\x', 'C:a', 'a\\b', 'a\nb']) {
    throwsCode(() => read(concat(member(name, 'x'), END)), 'corrupt-file', 'a.tar');
  }
  assert.equal(shown(concat(member('./a..b/c...', ''), END)), [['./a..b/c...', '']]);
  throwsCode(() => read(concat(member('a', '1'), member('a', '2'), END)), 'corrupt-file', 'two members');
});

test('links and devices are refused', () => {
  for (const type of '12346') {
    throwsCode(
      () => read(concat(member('a', '', { type }), END)),
      'unsupported-version',
      'a.tar',
      `type ${type}`,
    );
  }
});

test('every truncation is refused, but for the zeros after the first block of the end mark', () => {
  refusesTruncations(concat(member('a', 'b'), [0]), read);
});

test('flipped bits are refused or lie in the data', () => {
  const refused = survivesBitFlips(TWO, 2000, read, (entries) => {
    return entries.map(({ name }) => name).join() === 'a.txt,dir/b.bin';
  });
  assert.ok(refused > 700, String(refused));
});

const python = need(test, 'python');
python('what Python writes in each of its three formats', async () => {
  const code = `
import base64, io, sys, tarfile
for format in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as archive:
        folder = tarfile.TarInfo("data")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name in ("data/test_batch.bin", "data/" + "folder/" * 18 + "file.bin"):
            member = tarfile.TarInfo(name)
            member.size = 700
            archive.addfile(member, io.BytesIO(b"z" * 700))
    print(base64.b64encode(out.getvalue()).decode())`;
  for (const line of (await runPython(code)).trim().split('\n')) {
    assert.equal(shown(Buffer.from(line, 'base64')), [
      ['data/test_batch.bin', 'z'.repeat(700)],
      [`data/${'folder/'.repeat(18)}file.bin`, 'z'.repeat(700)],
    ]);
  }
});

test.run();
