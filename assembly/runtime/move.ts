// Moves of tensors, and what else is neither product nor function.

import { storeFour } from './panels';

/**
 * Blocks of `bytes` that lie apart, in three dimensions: pads, crops, concatenations, permutations, upsampling by repeated moves.
 * Steps are in bytes and may be 0.
 */
export function move(
  from: usize,
  out: usize,
  n0: u32,
  n1: u32,
  n2: u32,
  bytes: usize,
  from0: usize,
  from1: usize,
  from2: usize,
  out0: usize,
  out1: usize,
  out2: usize,
): void {
  for (let i: u32 = 0; i < n0; i++, from += from0, out += out0) {
    for (let j: u32 = 0, p = from, q = out; j < n1; j++, p += from1, q += out1) {
      for (let k: u32 = 0, r = p, s = q; k < n2; k++, r += from2, s += out2) {
        if (bytes == 4) store<u32>(s, load<u32>(r));
        else memory.copy(s, r, bytes);
      }
    }
  }
}

/** n floats of one value. */
export function fill(out: usize, n: u32, value: f32): void {
  const v = f32x4.splat(value);
  for (let i: u32 = 0; i < n; i += 4, out += 16) storeFour(out, v, n - i);
}
