import { BitnibbleError } from '../../errors.js';
import { bytesOf, toFloat32 } from '../../formats/dtypes.js';
import { DTYPE_BYTES, type Dtype } from '../../model.js';
import { sizeOf } from '../../shape.js';
import { boxes } from '../boxes.js';
import type { Hdf5 } from '../hdf5.js';

/** An array of the file. */
export interface StoredArray {
  readonly file: number;
  readonly path: string;
  readonly shape: readonly number[];
  readonly dtype: Dtype;
}

/**
 * How codes lie in the file, for values `[rows, columns]`:
 * `plain`: as the values do; `columns`: two of 4 bits in a byte along the last axis, low bits first;
 * `rows`: the same along the first axis; `transposed`: `[columns, rows]`; `transposed4`: so, two in a byte along columns.
 */
export type CodeLayout = 'plain' | 'columns' | 'rows' | 'transposed' | 'transposed4';

/** Where the scale of the value at row `r`, column `c` is: at `row(r) + column(c)` of the scales' array. */
export interface ScalePlace {
  /** Strides of the scales along each axis of the values as `grid`, 0 where they share one; absent where groups decide. */
  readonly strides?: readonly number[];
  readonly grid?: readonly number[];
  /** `groupStride * g[r or c]` plus `otherStride` times the other index. */
  readonly groups?: {
    readonly index: StoredArray;
    readonly along: 'rows' | 'columns';
    readonly groupStride: number;
    readonly otherStride: number;
    readonly count: number;
  };
}

/** Values that a file keeps as codes and scales, or as a kernel and the adapters that are added to it. */
export interface CodedArray {
  readonly shape: readonly number[];
  /** The values as a matrix of the same order, in which codes and scales are laid out. */
  readonly rows: number;
  readonly columns: number;
  readonly codes: StoredArray;
  readonly layout: CodeLayout;
  readonly scale?: StoredArray & ScalePlace;
  /** `q / scale` where true, else `(q - zero) * scale`. */
  readonly divides: boolean;
  readonly zero?: StoredArray | number;
  /** AWQ: divides each row. */
  readonly rowScales?: StoredArray;
  /** LoRA: `factor * a b` is added. */
  readonly adapter?: { readonly a: StoredArray; readonly b: StoredArray; readonly factor: number };
}

/** Every array of the file that a coded one is read from. */
export function storedArrays({ codes, scale, zero, rowScales, adapter }: CodedArray): StoredArray[] {
  const stored = [codes, scale, typeof zero === 'number' ? undefined : zero, rowScales, scale?.groups?.index];
  return [...stored, adapter?.a, adapter?.b].filter((array) => array !== undefined);
}

/** Values that are computed at once. */
const PIECE = 2 ** 18;

/** Scales and what else belongs to all codes of an array, while it is read. */
interface Parameters {
  readonly scale: Float32Array | undefined;
  readonly zero: Float32Array | number;
  readonly rowScales: Float32Array | undefined;
  readonly groups: Int32Array | undefined;
  readonly a: Float32Array | undefined;
  readonly b: Float32Array | undefined;
}

/**
 * Reads coded arrays of an open model as float32, in pieces. Scales of the array that was read last are kept: a
 * large one is read slice by slice.
 */
export class CodedReader {
  #last: { readonly array: CodedArray; readonly parameters: Parameters } | undefined;

  constructor(
    readonly name: string,
    readonly files: readonly Hdf5[],
  ) {}

  /**
   * Values `[from, to)` in C order, as little-endian float32 bytes. Each is rounded as Keras's own operations round it.
   * @throws BitnibbleError `corrupt-file` for groups that have no scale
   */
  read(array: CodedArray, [from, to]: readonly [number, number], out?: Uint8Array): Uint8Array {
    const target = out?.subarray(0, (to - from) * 4) ?? new Uint8Array((to - from) * 4);
    const parameters = this.#parametersOf(array);
    for (const { offset, start, length } of boxes([array.rows, array.columns], from, to, PIECE)) {
      const [row, column] = offset as [number, number];
      const width = Math.min(length, array.columns);
      const values = this.#codes(array, row, column, length / width, width);
      decode(array, parameters, values, row, column, width);
      target.set(bytesOf(values), (start - from) * 4);
    }
    return target;
  }

  #parametersOf(array: CodedArray): Parameters {
    if (this.#last?.array === array) return this.#last.parameters;
    const floats = (stored: StoredArray | undefined) =>
      stored && toFloat32(this.#bytes(stored, [0, sizeOf(stored.shape)]), stored.dtype);
    const { scale, zero, rowScales, adapter } = array;
    const groups = scale?.groups;
    const index = floats(groups?.index);
    const parameters = {
      scale: floats(scale),
      zero: typeof zero === 'number' ? zero : (floats(zero) ?? 0),
      rowScales: floats(rowScales),
      // Keras casts indices to integers, which cuts them off: 3.15 writes those of GPTQ and AWQ as `row / group size`.
      groups: index && Int32Array.from(index),
      a: floats(adapter?.a),
      b: floats(adapter?.b),
    };
    const wrong = groups && parameters.groups?.find((group) => !(group >= 0 && group < groups.count));
    if (wrong !== undefined) {
      throw new BitnibbleError(
        'corrupt-file',
        `${this.name}: ${groups?.index.path} names group ${wrong}, expected 0 to ${(groups?.count ?? 0) - 1}`,
      );
    }
    this.#last = { array, parameters };
    return parameters;
  }

  #file({ file }: StoredArray): Hdf5 {
    return this.files[file] as Hdf5;
  }

  #bytes(stored: StoredArray, range: readonly [number, number]): Uint8Array {
    return this.#file(stored).readBytes(stored.path, range);
  }

  /** Codes of a box of whole rows, or of a part of one row, as float32. */
  #codes(array: CodedArray, row: number, column: number, height: number, width: number): Float32Array {
    const { codes, layout, columns } = array;
    const out = new Float32Array(height * width);
    const start = row * columns + column;
    if (layout === 'plain') {
      out.set(toFloat32(this.#bytes(codes, [start, start + height * width]), codes.dtype));
      return out;
    }
    const isSigned = codes.dtype === 'I8';
    const nibble = (byte: number, isHigh: boolean) => {
      const bits = isHigh ? byte >> 4 : byte & 15;
      return isSigned ? (bits ^ 8) - 8 : bits;
    };
    if (layout === 'columns') {
      const packed = Math.ceil(columns / 2);
      const first = column >> 1;
      const end = (row + height - 1) * packed + ((column + width - 1) >> 1) + 1;
      const bytes = this.#bytes(codes, [row * packed + first, end]);
      for (let r = 0, at = 0; r < height; r++)
        for (let c = column; c < column + width; c++)
          out[at++] = nibble(bytes[r * packed + (c >> 1) - first] as number, (c & 1) === 1);
      return out;
    }
    if (layout === 'rows') {
      const from = row >> 1;
      const end = ((row + height - 1) >> 1) * columns + column + width;
      const bytes = this.#bytes(codes, [from * columns + column, end]);
      for (let r = row, at = 0; r < row + height; r++)
        for (let c = 0; c < width; c++)
          out[at++] = nibble(bytes[((r >> 1) - from) * columns + c] as number, (r & 1) === 1);
      return out;
    }
    const isPacked = layout === 'transposed4';
    const first = isPacked ? column >> 1 : column;
    const count = (isPacked ? (column + width - 1) >> 1 : column + width - 1) - first + 1;
    const bytes = this.#file(codes).readBox(codes.path, [first, row], [count, height]);
    for (let r = 0, at = 0; r < height; r++)
      for (let c = column; c < column + width; c++) {
        const byte = bytes[((isPacked ? c >> 1 : c) - first) * height + r] as number;
        out[at++] = isPacked ? nibble(byte, (c & 1) === 1) : byte;
      }
    return out;
  }
}

/** Offset of a row in the scales, from the strides of all axes but the last. */
function rowOffset(grid: readonly number[], strides: readonly number[], row: number): number {
  let offset = 0;
  for (let axis = grid.length - 2, rest = row; axis >= 0; axis--) {
    const length = grid[axis] as number;
    offset += (rest % length) * (strides[axis] as number);
    rest = Math.floor(rest / length);
  }
  return offset;
}

/** Turns codes of a box into values, in place. */
function decode(
  { columns, scale, divides, adapter }: CodedArray,
  parameters: Parameters,
  values: Float32Array,
  row: number,
  column: number,
  width: number,
): void {
  const { scale: scales, zero, rowScales, groups, a, b } = parameters;
  const { strides, grid = [], groups: place } = scale ?? {};
  for (let r = row, at = 0; at < values.length; r++) {
    const byRow = place?.along === 'rows';
    const base = strides
      ? rowOffset(grid, strides, r)
      : byRow
        ? place.groupStride * ((groups as Int32Array)[r] as number)
        : r * (place?.otherStride ?? 0);
    const divisor = rowScales?.[r];
    for (let c = column; c < column + width; c++, at++) {
      let value = values[at] as number;
      if (scales) {
        const step = strides
          ? c * (strides.at(-1) as number)
          : byRow
            ? c * place.otherStride
            : (place?.groupStride ?? 0) * ((groups as Int32Array)[c] as number);
        const s = scales[base + step] as number;
        const z = typeof zero === 'number' ? zero : (zero[base + step] as number);
        value = divides ? value / s : (value - z) * s;
      }
      values[at] = value;
      if (divisor !== undefined) values[at] = (values[at] as number) / divisor;
      if (adapter && a && b) {
        const rank = adapter.b.shape[0] as number;
        values[at] = (values[at] as number) + adapter.factor * product(a, b, rank, r * columns + c);
      }
    }
  }
}

/** Element `index`, in C order, of `a b`, the matrices `[..., rank]` and `[rank, outputs]`. */
function product(a: Float32Array, b: Float32Array, rank: number, index: number): number {
  const outputs = b.length / rank;
  const row = Math.floor(index / outputs);
  const column = index % outputs;
  let sum = 0;
  for (let k = 0; k < rank; k++) sum += (a[row * rank + k] as number) * (b[k * outputs + column] as number);
  return sum;
}

/** Bytes that an array takes in its file. */
export function storedBytes(array: CodedArray): number {
  return storedArrays(array).reduce((sum, { shape, dtype }) => sum + sizeOf(shape) * DTYPE_BYTES[dtype], 0);
}
