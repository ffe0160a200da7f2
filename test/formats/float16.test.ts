import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  bfloat16ToFloat,
  decodeBfloat16,
  decodeHalf,
  encodeBfloat16,
  encodeHalf,
  floatToBfloat16,
  floatToHalf,
  halfToFloat,
} from '../../src/formats/float16.js';
import { random } from './damage.js';

const EVERY = Uint16Array.from({ length: 65536 }, (_, bits) => bits);
const HALF_INFINITY = 0x7c00;
const BFLOAT_INFINITY = 0x7f80;

/** float32 values of bit patterns. */
const floats = (...bits: number[]) => new Float32Array(Uint32Array.from(bits).buffer);
const bitsOf = (values: Float32Array) => new Uint32Array(values.buffer, values.byteOffset, values.length);

/**
 * The non-negative halves by counting upwards, infinity included: 2^-24 apart up to 2^-13, and twice as far apart
 * after each 1,024 values from there.
 */
function countHalves(): Float64Array {
  const values = new Float64Array(HALF_INFINITY + 1);
  for (let bits = 1; bits < HALF_INFINITY; bits++) {
    const step = 2 ** (-24 + Math.max(0, Math.floor((bits - 1) / 1024) - 1));
    values[bits] = values[bits - 1]! + step;
  }
  values[HALF_INFINITY] = Number.POSITIVE_INFINITY;
  return values;
}

const HALVES = countHalves();

/** The nearest half by searching all of them, the even one of two that are equally near. */
function nearestHalf(value: number): number {
  const magnitude = Math.abs(value);
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  let low = 0;
  for (let high = HALF_INFINITY; high - low > 1; ) {
    const middle = (low + high) >>> 1;
    if (HALVES[middle]! <= magnitude) low = middle;
    else high = middle;
  }
  if (magnitude === Number.POSITIVE_INFINITY) return sign | HALF_INFINITY;
  // to round, infinity stands where the next half would be
  const above = low + 1 === HALF_INFINITY ? 65536 : HALVES[low + 1]!;
  const toLow = magnitude - HALVES[low]!;
  const toHigh = above - magnitude;
  return sign | (toLow < toHigh || (toLow === toHigh && low % 2 === 0) ? low : low + 1);
}

test('every half decodes to the value that counting gives', () => {
  const decoded = halfToFloat(EVERY);
  for (const bits of EVERY) {
    const magnitude = HALVES[bits & 0x7fff] ?? Number.NaN;
    const want = bits & 0x8000 ? -magnitude : magnitude;
    if (!Object.is(decodeHalf(bits), want) || !Object.is(decoded[bits], want)) {
      assert.unreachable(`half 0x${bits.toString(16)}: ${decodeHalf(bits)}, ${decoded[bits]}, not ${want}`);
    }
  }
});

test('every half survives float32 and back; a signalling NaN becomes quiet and keeps its payload', () => {
  const back = floatToHalf(halfToFloat(EVERY));
  const isNaNBits = (bits: number) => (bits & 0x7fff) > HALF_INFINITY;
  assert.equal(
    back,
    EVERY.map((bits) => (isNaNBits(bits) ? bits | 0x200 : bits)),
  );
  assert.equal([...bitsOf(halfToFloat(Uint16Array.of(0x7c01, 0xfe03)))], [0x7f802000, 0xffc06000]);
});

test('halves: each tie between two neighbours goes to the even one, its float32 neighbours to the nearer', () => {
  const wrong: string[] = [];
  for (let bits = 0; bits < HALF_INFINITY; bits++) {
    const above = bits + 1 === HALF_INFINITY ? 65536 : HALVES[bits + 1]!;
    const tie = Float32Array.of((HALVES[bits]! + above) / 2);
    const [pattern] = bitsOf(tie);
    const [below, over] = floats(pattern! - 1, pattern! + 1);
    const got = floatToHalf(Float32Array.of(below!, tie[0]!, over!, -below!, -tie[0]!, -over!));
    const want = [bits, bits + (bits % 2), bits + 1];
    if (`${got}` !== `${[...want, ...want.map((half) => half | 0x8000)]}`) wrong.push(`${tie[0]}: ${got}`);
  }
  assert.equal(wrong, []);
});

test('halves: random float32 bits encode to what a search of all halves finds', () => {
  const next = random(16);
  // exponents -27 to 17: from below the smallest subnormal to above the largest half
  const pick = () => (next(2) << 31) | ((100 + next(45)) << 23) | next(2 ** 23);
  const values = floats(...Array.from({ length: 50_000 }, pick));
  const halves = floatToHalf(values);
  values.forEach((value, i) => {
    if (halves[i] !== nearestHalf(value))
      assert.unreachable(`${value}: ${halves[i]}, not ${nearestHalf(value)}`);
  });
});

const HALF_CORNERS: readonly (readonly [number, number])[] = [
  [0, 0],
  [-0, 0x8000],
  [1, 0x3c00],
  [-2, 0xc000],
  [1 / 3, 0x3555],
  [65504, 0x7bff],
  [65519.99609375, 0x7bff],
  [65520, HALF_INFINITY],
  [-65520, 0xfc00],
  [3.4028234663852886e38, HALF_INFINITY],
  [Number.POSITIVE_INFINITY, HALF_INFINITY],
  [Number.NEGATIVE_INFINITY, 0xfc00],
  [Number.NaN, 0x7e00],
  [2 ** -14, 0x0400],
  [2 ** -14 - 2 ** -24, 0x03ff],
  [2 ** -24, 1],
  [2 ** -25, 0],
  [2 ** -25 + 2 ** -48, 1],
  [-(2 ** -25), 0x8000],
  [3 * 2 ** -25, 2],
  [2 ** -149, 0],
];

for (const [value, bits] of HALF_CORNERS) {
  test(`${Object.is(value, -0) ? '-0' : value} as a half is 0x${bits.toString(16)}`, () => {
    assert.is(encodeHalf(value), bits);
    assert.is(floatToHalf(Float32Array.of(value))[0], bits);
  });
}

test('encodeHalf rounds to float32 first', () => {
  // above the tie between two halves by less than float32 can tell: the tie, which goes to the even one
  assert.is(encodeHalf(1 + 2 ** -11 + 2 ** -40), 0x3c00);
});

test('every bfloat16 is the float32 with zeros below, and survives the way back', () => {
  const want = new Uint32Array(EVERY).map((bits) => bits * 65536);
  const decoded = bfloat16ToFloat(EVERY);
  assert.equal(bitsOf(decoded), want);
  for (const bits of EVERY) {
    if (!Object.is(decodeBfloat16(bits), decoded[bits])) assert.unreachable(`0x${bits.toString(16)}`);
  }
  assert.equal(
    floatToBfloat16(decoded),
    EVERY.map((bits) => ((bits & 0x7fff) > BFLOAT_INFINITY ? bits | 0x40 : bits)),
  );
});

test('bfloat16: each tie goes to the even one, its float32 neighbours to the nearer', () => {
  const wrong: string[] = [];
  for (let bits = 0; bits < BFLOAT_INFINITY; bits++) {
    const tie = bits * 65536 + 0x8000;
    for (const sign of [0, 0x8000]) {
      const at = sign * 65536 + tie;
      const got = floatToBfloat16(floats(at - 1, at, at + 1));
      const want = [bits, bits + (bits % 2), bits + 1].map((value) => value | sign);
      if (`${got}` !== `${want}`) wrong.push(`0x${at.toString(16)}: ${got}`);
    }
  }
  assert.equal(wrong, []);
});

test('bfloat16 corners: a NaN with only low payload bits stays one, the largest floats overflow', () => {
  const values = floats(0x7f800001, 0xff80ffff, 0x7f7fffff, 0xff7fffff, 0x7f7f7fff, 0x80000000, 0x00000001);
  assert.equal([...floatToBfloat16(values)], [0x7fc0, 0xffc0, 0x7f80, 0xff80, 0x7f7f, 0x8000, 0]);
  assert.is(encodeBfloat16(1), 0x3f80);
  assert.is(encodeBfloat16(-0), 0x8000);
  assert.is(encodeBfloat16(Number.NaN) & 0x7fc0, 0x7fc0);
});

test('empty arrays and views in the middle of a buffer', () => {
  assert.is(halfToFloat(new Uint16Array()).length, 0);
  assert.is(floatToBfloat16(new Float32Array()).length, 0);
  assert.equal([...floatToHalf(Float32Array.of(9, 1, 2, 9).subarray(1, 3))], [0x3c00, 0x4000]);
  assert.equal([...halfToFloat(Uint16Array.of(0, 0x3c00, 0x4000).subarray(1))], [1, 2]);
});

test.run();
