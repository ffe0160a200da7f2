/**
 * IEEE 754 binary16 ("half") and bfloat16, bit by bit, 16 bits per value.
 *
 * - half:     1 sign, 5 exponent (bias 15), 10 fraction bits; subnormals are m * 2^-24; largest 65504
 * - bfloat16: the upper 16 bits of a float32: 1 sign, 8 exponent (bias 127), 7 fraction bits
 *
 * Encoding rounds half to even from float32. A NaN stays a NaN: its sign and upper fraction bits are kept, the
 * quiet bit is set, which is what the F16C and AVX512-BF16 instructions do.
 */

/** Bits of one half to its value. Source: IEEE 754-2019, 3.4. */
export function decodeHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >>> 10) & 31;
  const fraction = bits & 0x3ff;
  if (exponent === 31) {
    return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  }
  return exponent === 0
    ? sign * fraction * 2 ** -24
    : sign * (1 + fraction * 2 ** -10) * 2 ** (exponent - 15);
}

/** float32 bits of a half; every half is exact in float32. */
function halfToFloatBits(h: number): number {
  const sign = (h & 0x8000) << 16;
  const magnitude = h & 0x7fff;
  if (magnitude >= 0x7c00) {
    return sign | 0x7f800000 | ((magnitude & 0x3ff) << 13);
  }
  if (magnitude >= 0x400) {
    return sign | ((magnitude << 13) + 0x38000000); // 0x38000000 = (127 - 15) << 23
  }
  if (magnitude === 0) {
    return sign;
  }
  // m * 2^-24 with its leading one at bit b: exponent b - 24, fraction m << (23 - b) without that one
  const lead = 31 - Math.clz32(magnitude);
  return sign | ((lead + 103) << 23) | ((magnitude << (23 - lead)) & 0x7fffff);
}

/** Half bits of a float32 given by its bits: round half to even, overflow to infinity. */
function floatToHalfBits(f: number): number {
  const sign = (f >>> 16) & 0x8000;
  const magnitude = f & 0x7fffffff;
  if (magnitude > 0x7f800000) {
    return sign | 0x7e00 | ((magnitude >>> 13) & 0x1ff);
  }
  if (magnitude >= 0x477ff000) {
    return sign | 0x7c00; // from 65520 = 65504 + half a step upwards
  }
  if (magnitude >= 0x38800000) {
    // from 2^-14: add just under half a step, plus one more when the kept bit is odd
    const rebiased = magnitude - 0x38000000;
    return sign | ((rebiased + 0xfff + ((rebiased >>> 13) & 1)) >>> 13);
  }
  if (magnitude <= 0x33000000) {
    return sign; // up to 2^-25, the tie between 0 and the smallest subnormal
  }
  // significand * 2^(e - 150) in steps of 2^-24 is significand >> (126 - e)
  const significand = (magnitude & 0x7fffff) | 0x800000;
  const shift = 126 - (magnitude >>> 23);
  const odd = (significand >>> shift) & 1;
  return sign | ((significand + (1 << (shift - 1)) - 1 + odd) >>> shift);
}

/** bfloat16 bits of a float32 given by its bits: round half to even, overflow to infinity. */
function floatToBfloat16Bits(f: number): number {
  if ((f & 0x7fffffff) > 0x7f800000) {
    return (f >>> 16) | 0x40;
  }
  return ((f + 0x7fff + ((f >>> 16) & 1)) >>> 16) & 0xffff;
}

function bitsOf(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length);
}

/** Half bits of one value, which is rounded to float32 first. */
export function encodeHalf(value: number): number {
  return floatToHalfBits(bitsOf(Float32Array.of(value))[0]!);
}

/** bfloat16 bits of one value, which is rounded to float32 first. */
export function encodeBfloat16(value: number): number {
  return floatToBfloat16Bits(bitsOf(Float32Array.of(value))[0]!);
}

/** Bits of one bfloat16 to its value. */
export function decodeBfloat16(bits: number): number {
  return new Float32Array(Uint32Array.of((bits & 0xffff) << 16).buffer)[0]!;
}

/** Half bits to float32, exact; NaN payloads are kept. */
export function halfToFloat(halves: Uint16Array): Float32Array {
  const out = new Float32Array(halves.length);
  const bits = bitsOf(out);
  for (let i = 0; i < halves.length; i++) {
    bits[i] = halfToFloatBits(halves[i]!);
  }
  return out;
}

/** float32 to half bits: round half to even, values from 65520 become infinity. */
export function floatToHalf(values: Float32Array): Uint16Array {
  const bits = bitsOf(values);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < out.length; i++) {
    out[i] = floatToHalfBits(bits[i]!);
  }
  return out;
}

/** bfloat16 bits to float32, exact; NaN payloads are kept. */
export function bfloat16ToFloat(values: Uint16Array): Float32Array {
  const out = new Float32Array(values.length);
  const bits = bitsOf(out);
  for (let i = 0; i < values.length; i++) {
    bits[i] = values[i]! << 16;
  }
  return out;
}

/** float32 to bfloat16 bits: round half to even. */
export function floatToBfloat16(values: Float32Array): Uint16Array {
  const bits = bitsOf(values);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < out.length; i++) {
    out[i] = floatToBfloat16Bits(bits[i]!);
  }
  return out;
}

/**
 * Half bits behind the interface of a `Float16Array`, for hosts that lack it and for WebGL, whose half-float textures
 * take a `Uint16Array`.
 */
export class HalfBits {
  readonly [Symbol.toStringTag] = 'HalfBits';

  constructor(readonly bits: Uint16Array) {}

  get length(): number {
    return this.bits.length;
  }

  set(values: Float32Array, offset = 0): void {
    this.bits.set(floatToHalf(values), offset);
  }
}
