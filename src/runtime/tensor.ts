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

export const aligned = (bytes: number) => (bytes + 63) & -64;

/** Kernels may read that much behind a tensor. */
export const SLACK = 64;
