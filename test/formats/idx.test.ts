import { gzipSync } from 'node:zlib';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { readIdx } from '../../src/formats/idx.js';
import { concat, embedded, FILE, hex, refuses, refusesTruncations, survivesBitFlips } from './hostile.js';

const read = (bytes: Uint8Array) => readIdx(bytes, { name: FILE });

/** Two images of 2 x 3 bytes. */
const IMAGES = hex('0000 08 03  00000002 00000002 00000003  000102030405 fafbfcfdfeff');

const TYPES = [
  ['uint8', '0000 08 01 00000002 01ff', [1, 255]],
  ['int8', '0000 09 01 00000002 01ff', [1, -1]],
  ['int16', '0000 0b 01 00000002 0102 fffe', [258, -2]],
  ['int32', '0000 0c 01 00000002 01020304 fffffffe', [16909060, -2]],
  ['float32', '0000 0d 01 00000002 3f800000 c0000000', [1, -2]],
  ['float64', '0000 0e 01 00000002 3ff0000000000000 c000000000000000', [1, -2]],
] as const;

for (const [dtype, bytes, values] of TYPES) {
  test(`${dtype} is big-endian`, () => {
    const array = read(embedded(hex(bytes)));
    assert.is(array.dtype, dtype);
    assert.equal(array.shape, [2]);
    assert.equal([...array.data], [...values]);
  });
}

test('images keep their shape and order', () => {
  const { dtype, shape, data } = read(IMAGES);
  assert.is(dtype, 'uint8');
  assert.equal(shape, [2, 2, 3]);
  assert.equal([...data], [0, 1, 2, 3, 4, 5, 250, 251, 252, 253, 254, 255]);
});

test('gzip around it is unpacked, within the limit', () => {
  assert.equal(read(gzipSync(IMAGES)), read(IMAGES));
  refuses(() => readIdx(gzipSync(IMAGES), { name: FILE, limit: IMAGES.length - 1 }), 'too-large');
  refuses(() => read(gzipSync(IMAGES).subarray(0, -1)), 'corrupt-file');
});

test('the result is a copy', () => {
  const bytes = IMAGES.slice();
  const { data } = read(bytes);
  bytes.fill(7);
  assert.is(data[1], 1);
});

test('an array without elements', () => {
  assert.equal(read(hex('0000 08 02 00000000 0000001c')).shape, [0, 28]);
});

test('refuses what is not IDX', () => {
  refuses(() => read(new Uint8Array()), 'not-idx');
  refuses(() => read(hex('0100 08 01 00000000')), 'not-idx');
  refuses(() => read(hex('0001 08 01 00000000')), 'not-idx');
  refuses(() => read(hex('0000 0a 01 00000000')), 'unsupported-dtype', /0xa/);
});

test('refuses shapes that the bytes do not bear out', () => {
  refuses(() => read(hex('0000 08 00')), 'corrupt-file', /0 dimensions/);
  refuses(() => read(concat(IMAGES, [0])), 'corrupt-file', /takes 28 bytes, the file has 29/);
  refuses(() => read(hex('0000 08 03 ffffffff ffffffff ffffffff 00')), 'corrupt-file', /absurdly large/);
  refuses(() => read(hex('0000 08 03 00000000 ffffffff ffffffff')), 'corrupt-file', /absurdly large/);
  refuses(() => read(hex('0000 0e 02 7fffffff 00000008 00')), 'corrupt-file');
  refuses(() => read(concat(hex('0000 08 ff'), new Uint8Array(100).fill(255))), 'corrupt-file', /255 dim/);
});

test('every truncation is refused', () => {
  refusesTruncations(IMAGES, read);
  refusesTruncations(gzipSync(IMAGES), read);
});

test('flipped bits are refused or give an array that fits its shape', () => {
  for (const [dtype, file] of [['plain', IMAGES] as const, ['gzip', gzipSync(IMAGES)] as const]) {
    survivesBitFlips(file, read, ({ shape, data }, flips) => {
      const size = shape.reduce((a, b) => a * b, 1);
      assert.is(data.length, size, flips);
      if (dtype === 'gzip') assert.equal([...data], [...read(IMAGES).data], flips);
    });
  }
});

test.run();
