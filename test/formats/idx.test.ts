import { gzipSync } from 'node:zlib';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { readIdx } from '../../src/formats/idx.js';
import type { NdArray } from '../../src/formats/ndarray.js';
import { concat, embedded, hex, refusesTruncations, survivesBitFlips, throwsCode } from './damage.js';

const read = (bytes: Uint8Array, limit?: number) => readIdx(bytes, { name: 'some.idx', limit });

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
  throwsCode(() => read(gzipSync(IMAGES), IMAGES.length - 1), 'too-large', 'some.idx');
  throwsCode(() => read(gzipSync(IMAGES).subarray(0, -1)), 'corrupt-file', 'some.idx');
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
  throwsCode(() => read(new Uint8Array()), 'not-idx', 'some.idx');
  throwsCode(() => read(hex('0100 08 01 00000000')), 'not-idx', 'some.idx');
  throwsCode(() => read(hex('0001 08 01 00000000')), 'not-idx', 'some.idx');
  throwsCode(() => read(hex('0000 0a 01 00000000')), 'unsupported-dtype', 'some.idx', '0xa');
});

test('refuses shapes that the bytes do not bear out', () => {
  throwsCode(() => read(hex('0000 08 00')), 'corrupt-file', 'some.idx', '0 dimensions');
  throwsCode(() => read(concat(IMAGES, [0])), 'corrupt-file', 'some.idx', 'takes 28 bytes, the file has 29');
  throwsCode(
    () => read(hex('0000 08 03 ffffffff ffffffff ffffffff 00')),
    'corrupt-file',
    'some.idx',
    'absurdly large',
  );
  throwsCode(
    () => read(hex('0000 08 03 00000000 ffffffff ffffffff')),
    'corrupt-file',
    'some.idx',
    'absurdly large',
  );
  throwsCode(() => read(hex('0000 0e 02 7fffffff 00000008 00')), 'corrupt-file', 'some.idx');
  throwsCode(
    () => read(concat(hex('0000 08 ff'), new Uint8Array(100).fill(255))),
    'corrupt-file',
    'some.idx',
    '255 dim',
  );
});

test('every truncation is refused', () => {
  refusesTruncations(IMAGES, read);
  refusesTruncations(gzipSync(IMAGES), read);
});

test('flipped bits are refused or give an array that fits its shape', () => {
  const isWhole = ({ shape, data }: NdArray) => shape.reduce((n, d) => n * d, 1) === data.length;
  assert.ok(survivesBitFlips(IMAGES, 2000, read, isWhole) > 500);
  const zipped = gzipSync(IMAGES);
  const isSame = ({ data }: NdArray) => `${data}` === `${read(IMAGES).data}`;
  assert.ok(survivesBitFlips(zipped, 2000, read, isSame) > 1000);
});

test.run();
