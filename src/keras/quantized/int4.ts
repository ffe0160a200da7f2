import type { QuantizedTensor } from '../../schemes/types.js';
import { sizeOf } from '../../shape.js';

/** An int4 weight in the arrays of a layer that Keras quantized, for values `[rows, columns]`. */
export interface Int4Arrays {
  readonly rows: number;
  readonly columns: number;
  /** int8 `[rows, ceil(columns / 2)]`: two codes to a byte along the columns, low bits first. */
  readonly codes: () => Uint8Array;
  /**
   * Rows (of an embedding: columns) that share a scale and a zero; undefined where each column (token) has one scale,
   * which then divides.
   */
  readonly blockSize: number | undefined;
  readonly scale: { readonly shape: readonly number[]; readonly values: Float32Array };
}

/** How a matrix is cut by Keras: a kernel's blocks lie along its rows, an embedding's along its columns. */
type Direction = 'kernel' | 'embeddings';

const OTHER_BLOCKS = "its scales lie along other axes than those of Keras's int4";

/** The scale of each element: `[outer, channels, inner]` in blocks of rows. */
function scaleAt({ layout, scales }: QuantizedTensor): (element: number) => number {
  const { channels, inner, groupRows } = layout;
  return (element) => {
    const row = Math.floor(element / (channels * inner)) * inner + (element % inner);
    const channel = Math.floor(element / inner) % channels;
    return scales[Math.floor(row / groupRows) * channels + channel] as number;
  };
}

/**
 * Scales `[groups, other]` (of embeddings `[other, groups]`) if all codes in each block share theirs; undefined if not.
 * @param size rows, or columns of an embedding, in a block
 */
function blockScales(
  tensor: QuantizedTensor,
  [rows, columns]: readonly [number, number],
  direction: Direction,
  size: number,
): Float32Array | undefined {
  const at = scaleAt(tensor);
  const isKernel = direction === 'kernel';
  const groups = Math.ceil((isKernel ? rows : columns) / size);
  const width = isKernel ? columns : groups;
  const scales = new Float32Array(isKernel ? groups * columns : rows * groups).fill(Number.NaN);
  for (let row = 0, element = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++, element++) {
      const place = isKernel
        ? Math.floor(row / size) * width + column
        : row * width + Math.floor(column / size);
      const scale = at(element);
      if (Number.isNaN(scales[place])) scales[place] = scale;
      else if (scales[place] !== scale) return undefined;
    }
  }
  return scales;
}

/** Codes as Keras packs them: those of the tensor where rows begin with a byte, else row by row. */
function packed({ codes }: QuantizedTensor, rows: number, columns: number): Uint8Array {
  if (columns % 2 === 0) return codes;
  const width = (columns + 1) / 2;
  const out = new Uint8Array(rows * width);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const at = row * columns + column;
      const code = ((codes[at >> 1] as number) >> (4 * (at & 1))) & 15;
      out[row * width + (column >> 1)] =
        (out[row * width + (column >> 1)] as number) | (code << (4 * (column & 1)));
    }
  }
  return out;
}

/**
 * An int4 weight as Keras 3.15 stores its own: `q / scale` with a scale for each output (of embeddings: each token) where
 * all its codes share one, else `(q - 0) scale` in blocks of the tensor's groups.
 *
 * A scale that divides is the inverse of the tensor's, rounded, so that values are within two roundings of float32.
 *
 * @param rows of the matrix that Keras makes of the tensor, in its own order
 * @returns why not, where Keras's arrays cannot say it
 */
export function int4Arrays(tensor: QuantizedTensor, rows: number, direction: Direction): Int4Arrays | string {
  const columns = sizeOf(tensor.shape) / Math.max(1, rows);
  const isKernel = direction === 'kernel';
  const matrix = [rows, columns] as const;
  const codes = () => packed(tensor, rows, columns);
  const along = isKernel ? rows : columns;
  if (!Number.isInteger(columns) || columns < 1 || rows < 1) return 'it has no values';
  const whole = blockScales(tensor, matrix, direction, along);
  if (whole) {
    const inverses = whole.map((scale) => (scale === 0 ? 1 : 1 / scale));
    const isZero = whole.includes(0);
    if (!isZero && inverses.every(Number.isFinite))
      return {
        rows,
        columns,
        codes,
        blockSize: undefined,
        scale: { shape: [whole.length], values: inverses },
      };
    // Scales of zero, and those without an inverse, multiply: one block is as long as the axis.
    return grouped(whole, along, 1);
  }
  const size = tensor.layout.groupRows;
  const scales = size < along ? blockScales(tensor, matrix, direction, size) : undefined;
  return scales ? grouped(scales, size, Math.ceil(along / size)) : OTHER_BLOCKS;

  function grouped(values: Float32Array, blockSize: number, groups: number): Int4Arrays {
    const shape = isKernel ? [groups, columns] : [rows, groups];
    return { rows, columns, codes, blockSize, scale: { shape, values } };
  }
}

/** Which block each row (of an embedding: each column) belongs to, as Keras stores it: float32. */
export function blockIndex(length: number, blockSize: number): Float32Array {
  return Float32Array.from({ length }, (_, i) => Math.floor(i / blockSize));
}
