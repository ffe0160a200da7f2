/** Where a tensor's bytes are; several tensors of other shapes may lie there. */
export interface Storage {
  readonly bytes: number;
  at: number;
  /** Steps between which it is needed. */
  first: number;
  last: number;
  /** Its range, 8 bytes that its producer widens; 0 where nobody asked. */
  slot: number;
  /** Whether it lies among the weights. */
  readonly isConstant: boolean;
}

/** float32 values in C order, without the batch axis. */
export interface Tensor {
  readonly shape: readonly number[];
  readonly size: number;
  readonly storage: Storage;
}

/** Up to a multiple of 64 bytes; no operations on bits, which are of 32 bits: what a file asks for may be far more. */
export const aligned = (bytes: number): number => Math.ceil(bytes / 64) * 64;

/** Kernels may read that much behind a tensor. */
export const SLACK = 64;
