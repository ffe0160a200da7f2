// What a convolution, a dense layer or a depthwise one is told: a record that the plan writes once, when a network is loaded.
// Fields are 32 bits wide, in this order; src/runtime/record.ts has the same list.

@unmanaged
export class Layer {
  /** Packed codes. */
  codes: usize;
  /** Decoded panels, one after the other; 0: each is decoded into `scratch` by the call. */
  panels: usize;
  /** Bytes of a panel. */
  panelBytes: usize;
  /** Bits of a code: 1, 2 or 4. */
  bits: u32;
  /** Element of `codes` at row 0, column 0. */
  first: u32;
  /** Elements from one row k to the next. */
  rowStride: u32;
  /** Output channels. */
  columns: u32;
  /** Runs of activations that are summed: see runs.ts. */
  table: usize;
  runs: u32;
  /** float32 [groups][columns, up to a multiple of 8]; zeros behind the last column, as in `bias`. */
  scales: usize;
  bias: usize;
  /** Output pixels in a row and in all. */
  width: u32;
  pixels: u32;
  /** Bytes of the staged input from one output row, and one output pixel, to the next. */
  strideRow: usize;
  stridePixel: usize;
  /** Bytes from one output pixel to the next. */
  outPitch: usize;
  /** Bounds of the outputs. */
  low: f32;
  high: f32;
  /** Room for one panel. */
  scratch: usize;
  /** Winograd: channels that the weights have, and the staged input (a multiple of 8). */
  channels: u32;
  depth: u32;
  /** Winograd: output rows; tiles of 2 x 2 across (a multiple of 4) and down, tile rows of a chunk. */
  height: u32;
  tilesAcross: u32;
  tilesDown: u32;
  chunk: u32;
  /** Winograd: room for the transformed input of a chunk, and for 16 x 32 x 8 sums. */
  transformed: usize;
  sums: usize;
}
