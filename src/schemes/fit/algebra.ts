/** Dense products that calibration is made of, by whoever has the fastest at hand. */
export interface Algebra {
  /** `A B`, row-major: `a` `[m, k]`, `b` `[k, n]`. */
  product(a: Float32Array, b: Float32Array, m: number, k: number, n: number): Float32Array;
  /** `X'X` `[k, k]` and `X'T` `[k, n]` of samples `x` `[rows, k]` and `t` `[rows, n]`. */
  moments(
    x: Float32Array,
    t: Float32Array,
    rows: number,
    k: number,
    n: number,
  ): { gram: Float32Array; cross: Float32Array };
}
