import type { WeightInfo } from '../model.js';
import type { CodedArray } from './quantized/coded-array.js';

/** A weight and where its file keeps it. */
export interface KerasWeight extends WeightInfo {
  /** Top-level layer whose group holds it. */
  readonly group: string;
  /** Dataset in the file. */
  readonly path: string;
  /** Which HDF5 file, of a model in several. */
  readonly file: number;
  /** Where the file keeps it once more. */
  readonly copies: readonly { readonly file: number; readonly path: string }[];
  /** What its values are computed from, where the file has codes or adapters; `path` then is that of the codes. @internal */
  readonly coded?: CodedArray;
}

/** Arrays that a layer is computed without: they are no weights of the model. */
export interface LeftOut {
  readonly id: string;
  readonly shape: readonly number[];
  readonly reason: string;
}
