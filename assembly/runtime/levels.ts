// Packed codes to levels: int4 q, int2 2 q + 1 (half a scale), binary +-1. Three schemes, one path:
//
//     word    eight codes from element e on, the lowest bits first, from any bit of a byte
//     lanes   int4: low half in lanes 0-3, high half in 4-7; int2, binary: the same 16 bits in all
//     * 2^s   brings each lane's code to its top, s of POWERS
//     >> 16 - bits, then * FACTOR + OFFSET
//
// A row is read by 8 bytes at a time: up to 8 bytes behind the last code are read.

/** 2^s for bits 1, 2, 4 at byte 0, 16, 32, then factors and offsets of the levels. */
const POWERS = memory.data<u16>([
  32768, 16384, 8192, 4096, 2048, 1024, 512, 256,
  16384, 4096, 1024, 256, 64, 16, 4, 1,
  4096, 256, 16, 1, 4096, 256, 16, 1,
], 16);
const LINES = memory.data<i16>([-2, -1, 2, 1, 1, 0], 4);

// @ts-ignore: decorator
@inline
export function powersOf(bits: u32): v128 {
  return v128.load(POWERS + (<usize>(bits >> 1) << 4));
}

// @ts-ignore: decorator
@inline
export function factorOf(bits: u32): v128 {
  return v128.load16_splat(LINES + (<usize>(bits >> 1) << 2));
}

// @ts-ignore: decorator
@inline
export function offsetOf(bits: u32): v128 {
  return v128.load16_splat(LINES + (<usize>(bits >> 1) << 2), 2);
}

/** Eight levels as i16 from bit `at` of the codes on. */
// @ts-ignore: decorator
@inline
export function levels(codes: usize, at: usize, bits: u32, powers: v128, factor: v128, offset: v128): v128 {
  const word = <u32>(load<u64>(codes + (at >> 3)) >> <u64>(at & 7));
  if (bits == 4) {
    const v = i32x4.splat(word);
    return i16x8.shr_s(i16x8.mul(v128.shuffle<i16>(v, v, 0, 0, 0, 0, 1, 1, 1, 1), powers), 12);
  }
  const q = i16x8.shr_s(i16x8.mul(i16x8.splat(<i16>word), powers), <i32>(16 - bits));
  return i16x8.add(i16x8.mul(q, factor), offset);
}

/** a0 b0 a1 b1 a2 b2 a3 b3 */
// @ts-ignore: decorator
@inline
export function zipLow(a: v128, b: v128): v128 {
  return v128.shuffle<i16>(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
}

// @ts-ignore: decorator
@inline
export function zipHigh(a: v128, b: v128): v128 {
  return v128.shuffle<i16>(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
}
