import { constants, deflateRawSync, gzipSync } from 'node:zlib';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { crc32 } from '../../src/formats/crc32.js';
import { gunzip, isGzip } from '../../src/formats/gzip.js';
import { concat, embedded, hex, random, refusesTruncations, survivesBitFlips, throwsCode } from './damage.js';

const read = (bytes: Uint8Array, limit?: number) => gunzip(bytes, { name: 'some.gz', limit });
const ascii = (text: string) => new TextEncoder().encode(text);
const word = (value: number) => [value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24];
const noise = (length: number) => {
  const next = random(length);
  return Uint8Array.from({ length }, () => next(256));
};

/** `hello`, one stored block; its CRC-32 is 0x3610a686. */
const HELLO = hex('1f8b08 00 00000000 00 ff  01 0500 faff 68656c6c6f  86a61036 05000000');

/** A member with the optional header fields of `flags`. */
function member(text: string, flags: number, ...fields: (string | number[])[]): Uint8Array {
  const header = concat([0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 3], ...fields.map((f) => concat(f)));
  const data = ascii(text);
  return concat(header, deflateRawSync(data), word(crc32(data)), word(data.length));
}

test('CRC-32: the check value of its definition, and in two parts', () => {
  assert.is(crc32(ascii('123456789')), 0xcbf43926);
  assert.is(crc32(ascii('56789'), crc32(ascii('1234'))), 0xcbf43926);
  assert.is(crc32(new Uint8Array()), 0);
});

test('a golden file', () => {
  assert.equal(read(embedded(HELLO)), ascii('hello'));
});

test('what zlib writes, at each level and strategy', () => {
  const text = concat(noise(70_000), new Uint8Array(100_000), ascii('tale '.repeat(20_000)));
  for (const level of [0, 1, 6, 9]) {
    assert.equal(read(gzipSync(text, { level })), text, `level ${level}`);
  }
  for (const strategy of [constants.Z_HUFFMAN_ONLY, constants.Z_RLE, constants.Z_FIXED]) {
    assert.equal(read(gzipSync(text, { strategy })), text, `strategy ${strategy}`);
  }
  assert.equal(read(gzipSync(new Uint8Array())), new Uint8Array());
});

test('optional header fields: text, header checksum, extra field, name, comment', () => {
  assert.equal(read(member('a', 1)), ascii('a'));
  assert.equal(read(member('a', 8, 'name\0')), ascii('a'));
  assert.equal(read(member('a', 4 + 8 + 16, [3, 0, 7, 7, 7], 'name\0', 'comment\0')), ascii('a'));
  assert.equal(read(member('a', 2 + 8, 'name\0', [1, 2])), ascii('a'));
});

test('members one after another, wherever the steps of the reader fall', () => {
  const parts = ['one', '', 'two '.repeat(9000), 'three'];
  const packed = parts.map((part) => gzipSync(ascii(part)));
  assert.equal(read(concat(...packed)), ascii(parts.join('')));
  for (let length = 32_700; length < 32_780; length++) {
    const first = gzipSync(noise(length), { level: 0 });
    const joined = read(concat(first, HELLO));
    assert.is(joined.length, length + 5);
  }
});

test('each member has to match its own trailer', () => {
  const broken = HELLO.slice();
  broken[broken.length - 8]! ^= 1;
  throwsCode(() => read(broken), 'corrupt-file', 'some.gz', 'checksum or length');
  throwsCode(() => read(concat(broken, HELLO)), 'corrupt-file', 'some.gz');
  throwsCode(() => read(concat(HELLO, broken)), 'corrupt-file', 'some.gz');
  const longer = HELLO.slice();
  longer[longer.length - 4] = 6;
  throwsCode(() => read(longer), 'corrupt-file', 'some.gz', 'checksum or length');
});

test('bytes after the last member are refused', () => {
  for (let length = 1; length < 20; length++) {
    throwsCode(() => read(concat(HELLO, new Uint8Array(length))), 'corrupt-file', 'some.gz');
    throwsCode(() => read(concat(HELLO, new Uint8Array(length).fill(0x1f))), 'corrupt-file', 'some.gz');
  }
  throwsCode(() => read(concat(HELLO, HELLO.subarray(-8))), 'corrupt-file', 'some.gz');
  throwsCode(() => read(concat(gzipSync(new Uint8Array()), new Uint8Array(8))), 'corrupt-file', 'some.gz');
});

test('refuses what is no gzip', () => {
  assert.not.ok(isGzip(hex('1f8b')));
  assert.not.ok(isGzip(hex('1f8b07')));
  for (const bytes of [new Uint8Array(), ascii('plain text of some length'), HELLO.subarray(0, 17)]) {
    throwsCode(() => read(bytes), 'corrupt-file', 'some.gz');
  }
});

test('a bomb is given up at the limit', () => {
  const bomb = gzipSync(new Uint8Array(2 ** 26));
  assert.ok(bomb.length < 2 ** 17);
  throwsCode(() => read(bomb, 1000), 'too-large', 'some.gz', 'limit of 1000 bytes');
  const many = concat(...Array.from({ length: 200 }, () => gzipSync(new Uint8Array(1000))));
  throwsCode(() => read(many, 199_999), 'too-large', 'some.gz');
  assert.is(read(many, 200_000).length, 200_000);
});

test('every truncation is refused', () => {
  refusesTruncations(HELLO, read);
  refusesTruncations(gzipSync(ascii('to be, or not to be, that is the question')), read);
});

test('flipped bits are refused or lie in the header, where they change nothing', () => {
  const text = ascii('to be, or not to be, that is the question. To be, or not to be?');
  const refused = survivesBitFlips(gzipSync(text), 2000, read, (result) => `${result}` === `${text}`);
  assert.ok(refused > 1000, String(refused));
});

test.run();
