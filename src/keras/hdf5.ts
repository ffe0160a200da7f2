import type { BitnibbleError } from '../errors.js';
import type { Dtype } from '../model.js';
import type { ByteSource } from './source.js';

/** An attribute value: text, or a list of it, or numbers. */
export type H5Attribute = string | string[] | number | bigint | ArrayLike<number | bigint>;

/** What a dataset is, without its values. */
export interface H5Dataset {
  readonly path: string;
  readonly shape: readonly number[];
  readonly dtype: Dtype | undefined;
  /** What it holds where that is no array of our number types, for messages. */
  readonly other?: string;
}

/** An open HDF5 file. Every fault is a {@link BitnibbleError} that names the file and the object. */
export interface Hdf5 {
  /** For messages. */
  readonly name: string;
  readonly source: ByteSource;
  /**
   * What a path leads to; undefined where there is nothing.
   * @throws BitnibbleError `corrupt-file` where it leads over a soft or external link, or to an object that another
   *   path led to: Keras writes no such links, they can form cycles, and what is written to one name changes the other
   */
  kind(path: string): 'group' | 'dataset' | undefined;
  /**
   * Names in a group, in the order that HDF5 keeps.
   * @throws BitnibbleError `too-large` for a name that is too long, `corrupt-file` for too many
   */
  keys(path: string): string[];
  attributeNames(path: string): string[];
  /** An attribute's value; undefined where the object has no such attribute. */
  attribute(path: string, name: string): H5Attribute | undefined;
  dataset(path: string): H5Dataset;
  /**
   * The values of a dataset as little-endian bytes, C order; HDF5 turns big-endian ones round.
   *
   * @param range elements from and to, in C order; all of them unless given
   * @param out memory to fill; new unless given
   * @throws BitnibbleError `unsupported-filter`, or `corrupt-file` for sizes out of all reason and damaged data
   */
  readBytes(path: string, range?: readonly [from: number, to: number], out?: Uint8Array): Uint8Array;
  /**
   * The values of a box of a dataset as little-endian bytes, C order: a few MB at most.
   * @throws BitnibbleError as {@link readBytes}
   */
  readBox(path: string, offset: readonly number[], count: readonly number[]): Uint8Array;
  /**
   * Overwrites a dataset in place, from one element on, with little-endian bytes, C order; everything else of the file
   * stays.
   * @throws BitnibbleError `shape-mismatch`; `unsupported-filter`, also for a filter that would store other values
   */
  writeBytes(path: string, values: Uint8Array, from?: number): void;
  /**
   * Holds what datasets claim together against what a file of this size can hold; one that is listed twice counts twice.
   * @throws BitnibbleError `corrupt-file`
   */
  checkClaims(datasets: Iterable<{ readonly path: string; readonly bytes: number }>): void;
  /** Releases what it holds; the source stays open. */
  close(): void;
}
