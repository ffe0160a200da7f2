import type { KernelModule } from '../kernels/instance.js';

/**
 * What a network is computed by: addresses and sizes in, results in memory. Two implementations, `simd` and `reference`, which
 * leave the same bits; `assembly/runtime/` says what each argument means.
 */
export interface Kernels {
  readonly backend: 'simd' | 'reference';
  /** Whether it has all of these kernels, or those alone that plain networks need. */
  readonly hasAll: boolean;
  /** First byte that is free for tensors, a multiple of 64. */
  readonly base: number;
  readonly memory: { readonly buffer: ArrayBufferLike };
  /** The module and the memory that other threads can work with too. */
  readonly shared?: { readonly module: WebAssembly.Module; readonly memory: WebAssembly.Memory };
  /**
   * Makes memory reach up to `end`, and 64 bytes more, which kernels may read. Views of the buffer end.
   *
   * @throws BitnibbleError `too-large` where the host has not that much
   */
  reserve(end: number): void;
  /** Widens the range at `slot` (magnitude, signs: two words) by n floats at `x`. */
  range(x: number, n: number, slot: number): void;
  /** float32 to i16 with a border: `rne(clamp(x * inverse, -limit, limit))`, NaN as `limit`. */
  quantize(
    ...args: [
      ...[x: number, height: number, width: number, channels: number, pitch: number],
      ...[out: number, rows: number, across: number, depth: number, top: number, left: number],
      ...[inverse: number, limit: number],
    ]
  ): void;
  /** float32 with a border, every channel `repeat` times side by side. */
  border(
    ...args: [
      ...[x: number, height: number, width: number, channels: number, pitch: number],
      ...[out: number, rows: number, across: number, repeat: number, top: number, left: number],
    ]
  ): void;
  /** Levels of eight columns from n on, as `convolve` reads them. */
  decodePanel(layer: number, n: number, panel: number): void;
  /** The same, transformed, as `convolveWinograd` reads them. */
  decodeWinograd(layer: number, n: number, panel: number): void;
  /** n weights of a row from the one numbered `first` on, times `scale`, as float32. */
  decodeRow(codes: number, bits: number, first: number, n: number, scale: number, out: number): void;
  /** A float32 matrix as panels of eight columns, as `convolveFloat` reads them. */
  packPanels(
    ...args: [from: number, rows: number, columns: number, rowBytes: number, columnBytes: number, to: number]
  ): void;
  /** A product of integers as the record at `layer` says, times `factor`; the range of what comes out widens that at `slot`. */
  convolve(layer: number, x: number, out: number, factor: number, slot: number): void;
  /** The same for 3 x 3 kernels by F(2 x 2, 3 x 3); `isPositive`: no activation is negative. */
  convolveWinograd(
    ...args: [layer: number, x: number, out: number, factor: number, isPositive: number, slot: number]
  ): void;
  /** The same product in float32. */
  convolveFloat(layer: number, x: number, out: number, slot: number): void;
  /** Each channel by a kernel of its own, in float32. */
  depthwise(layer: number, x: number, out: number, slot: number): void;
  /** Windows: 0 their means, 1 their largest numbers whatever else is NaN, 2 the largest or NaN. */
  pool(
    ...args: [
      ...[x: number, height: number, width: number, channels: number, tall: number, wide: number],
      ...[strideY: number, strideX: number, top: number, left: number, rows: number, across: number],
      ...[how: number, out: number],
    ]
  ): void;
  /** The function numbered `kind` with its parameters a, b and c, of n floats. */
  activate(x: number, n: number, kind: number, a: number, b: number, c: number, out: number): void;
  /** Shares of rows of n, or their logarithms. */
  softmax(x: number, rows: number, n: number, isLog: number, out: number): void;
  /** Rows of n with mean 0, where `isCentered`, and variance 1, times gamma, plus beta. */
  normalize(
    ...args: [
      ...[x: number, rows: number, n: number, gamma: number, beta: number],
      ...[epsilon: number, isCentered: number, out: number],
    ]
  ): void;
  /** The combination numbered `kind` of n floats at x with those at y, which begin anew after `period`. */
  combine(x: number, y: number, n: number, period: number, kind: number, out: number): void;
  /** Copies a box of n0 x n1 x n2 elements, their places the given steps apart. */
  move(
    ...args: [
      ...[from: number, out: number, n0: number, n1: number, n2: number, bytes: number],
      ...[from0: number, from1: number, from2: number, out0: number, out1: number, out2: number],
    ]
  ): void;
  /** The same float n times. */
  fill(out: number, n: number, value: number): void;
  /** Sums of windows that overlap: the last step of a transposed convolution. */
  scatter(
    ...args: [
      ...[y: number, height: number, width: number, channels: number, tall: number, wide: number],
      ...[strideY: number, strideX: number, dilationY: number, dilationX: number],
      ...[top: number, left: number, rows: number, across: number, bias: number, out: number],
    ]
  ): void;
  /** An image in another size, bilinear. */
  interpolate(
    ...args: [
      ...[x: number, height: number, width: number, channels: number],
      ...[rows: number, across: number, out: number],
    ]
  ): void;
}

/** Names of the kernels, all of which take numbers alone. */
export type KernelName = Exclude<
  keyof Kernels,
  'backend' | 'hasAll' | 'base' | 'memory' | 'reserve' | 'shared'
>;

export interface LoadRuntimeKernelsOptions {
  /** `bitnibble/runtime.wasm`, compiled elsewhere, for hosts that refuse to compile bytes. */
  readonly module?: KernelModule;
  /** `'simd'` (default) or `'reference'`: the same bits without WebAssembly, many times slower. */
  readonly backend?: 'simd' | 'reference';
  /** In a memory that threads share. */
  readonly isShared?: boolean;
  /** Those alone that plain networks need. */
  readonly isPlain?: boolean;
}
