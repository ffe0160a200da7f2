/**
 * What a network is computed by: addresses and sizes in, results in memory. Two implementations, `simd` and `reference`, which
 * leave the same bits; `assembly/runtime/` says what each argument means.
 */
export interface Kernels {
  readonly backend: 'simd' | 'reference';
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
  decodeRow(codes: number, bits: number, first: number, n: number, scale: number, out: number): void;
  packPanels(
    ...args: [from: number, rows: number, columns: number, rowBytes: number, columnBytes: number, to: number]
  ): void;
  convolve(layer: number, x: number, out: number, factor: number, slot: number): void;
  convolveWinograd(
    ...args: [layer: number, x: number, out: number, factor: number, isPositive: number, slot: number]
  ): void;
  convolveFloat(layer: number, x: number, out: number, slot: number): void;
  depthwise(layer: number, x: number, out: number, slot: number): void;
  pool(
    ...args: [
      ...[x: number, height: number, width: number, channels: number, tall: number, wide: number],
      ...[strideY: number, strideX: number, top: number, left: number, rows: number, across: number],
      ...[isMax: number, out: number],
    ]
  ): void;
  activate(x: number, n: number, kind: number, a: number, b: number, c: number, out: number): void;
  softmax(x: number, rows: number, n: number, isLog: number, out: number): void;
  normalize(
    ...args: [
      ...[x: number, rows: number, n: number, gamma: number, beta: number],
      ...[epsilon: number, isCentered: number, out: number],
    ]
  ): void;
  combine(x: number, y: number, n: number, period: number, kind: number, out: number): void;
  move(
    ...args: [
      ...[from: number, out: number, n0: number, n1: number, n2: number, bytes: number],
      ...[from0: number, from1: number, from2: number, out0: number, out1: number, out2: number],
    ]
  ): void;
  fill(out: number, n: number, value: number): void;
  scatter(
    ...args: [
      ...[y: number, height: number, width: number, channels: number, tall: number, wide: number],
      ...[strideY: number, strideX: number, dilationY: number, dilationX: number],
      ...[top: number, left: number, rows: number, across: number, bias: number, out: number],
    ]
  ): void;
  interpolate(
    ...args: [
      ...[x: number, height: number, width: number, channels: number],
      ...[rows: number, across: number, out: number],
    ]
  ): void;
}

/** Names of the kernels, all of which take numbers alone. */
export type KernelName = Exclude<keyof Kernels, 'backend' | 'base' | 'memory' | 'reserve' | 'shared'>;
