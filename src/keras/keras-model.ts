import { BitnibbleError } from '../errors.js';
import { toFloat32 } from '../formats/dtypes.js';
import { DTYPE_BYTES, type JsonObject, type ModelSource, type WeightInfo } from '../model.js';
import { sizeOf } from '../shape.js';
import type { LayerNode } from './config.js';
import type { Hdf5 } from './hdf5.js';
import type { KerasWeight, LeftOut } from './keras-weight.js';
import { CodedReader, storedArrays } from './quantized/coded-array.js';
import type { ByteSource } from './source.js';

/** What a model's file says, whatever its container. */
export interface KerasContents {
  readonly architecture: JsonObject | undefined;
  readonly trainingConfig: JsonObject | undefined;
  readonly kerasVersion: string;
  readonly backend: string;
  readonly layers: readonly LayerNode[];
  readonly weights: readonly KerasWeight[];
  /** Arrays of layers that are no weights: state of training. */
  readonly leftOut?: readonly LeftOut[];
}

/** `h5`: one HDF5 file; `keras`: a zip archive that holds one; `folder`: the same unpacked; `shards`: several, listed in JSON. */
export type Container = 'h5' | 'keras' | 'folder' | 'shards';

/** Bytes and HDF5 files that a model is read from. */
export interface KerasFiles {
  readonly name: string;
  readonly container: Container;
  /** The file that was opened; of a folder, that of the weights. */
  readonly source: ByteSource;
  /** Bytes of all files of a folder. */
  readonly bytes?: number;
  /** The HDF5 files: the same, a member of it, or the shards. @internal */
  readonly h5: readonly Hdf5[];
}

/** A trained Keras model in a file that stays open: weights are read when asked for. Close it when done. */
export class KerasModel implements ModelSource {
  /** Undefined for a file of weights alone. */
  readonly architecture: JsonObject | undefined;
  /** Optimizer, loss and metrics, where the model was compiled. */
  readonly trainingConfig: JsonObject | undefined;
  readonly kerasVersion: string;
  readonly backend: string;
  /** Top-level layers in the order of the architecture; without one, the layers that the weights tell. */
  readonly layers: readonly LayerNode[];
  /**
   * Every weight of every layer, in the model's order; optimizer state is not among them. What Keras quantized, or gave
   * adapters, is here as float values ({@link WeightInfo.stored} says what the file has).
   */
  readonly weights: readonly KerasWeight[];
  /** Arrays of layers that are not among the weights, since nothing but training reads them. */
  readonly leftOut: readonly LeftOut[];
  readonly #coded: CodedReader;
  readonly #byId: ReadonlyMap<string, KerasWeight>;

  /** Where it is read from. */
  readonly files: KerasFiles;

  /**
   * @internal
   * @throws BitnibbleError `corrupt-file` for weights that claim more than their files can hold
   */
  constructor(files: KerasFiles, contents: KerasContents) {
    this.files = files;
    this.architecture = contents.architecture;
    this.trainingConfig = contents.trainingConfig;
    this.kerasVersion = contents.kerasVersion;
    this.backend = contents.backend;
    this.layers = contents.layers;
    this.weights = contents.weights;
    this.leftOut = contents.leftOut ?? [];
    this.#coded = new CodedReader(files.name, files.h5);
    const stored = contents.weights.flatMap((weight) =>
      weight.coded ? storedArrays(weight.coded) : [weight],
    );
    for (const [i, h5] of files.h5.entries()) {
      const own = stored.filter(({ file }) => file === i);
      h5.checkClaims(
        own.map(({ path, shape, dtype }) => ({ path, bytes: sizeOf(shape) * DTYPE_BYTES[dtype] })),
      );
    }
    this.#byId = new Map(contents.weights.map((weight) => [weight.id, weight]));
  }

  /** For messages: the file's name. */
  get file(): string {
    return this.files.name;
  }

  /** Name of the model itself. */
  get name(): string {
    const config = this.architecture?.config;
    const name =
      config !== null && typeof config === 'object' && !Array.isArray(config) ? config.name : undefined;
    return typeof name === 'string' ? name : 'model';
  }

  /** Number of weights of all tensors together. */
  get parameters(): number {
    return this.weights.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  }

  /**
   * Values of a weight as float32, C order; other number types are rounded to it.
   * @throws BitnibbleError `unsupported-filter`, `corrupt-file` for damaged data
   */
  read(id: string): Float32Array {
    return toFloat32(this.readBytes(id), this.weight(id).dtype);
  }

  /**
   * Values of any weight as little-endian bytes, C order.
   * @param range elements from and to, in C order; all unless given
   * @param out memory to fill; new unless given
   */
  readBytes(id: string, range?: readonly [from: number, to: number], out?: Uint8Array): Uint8Array {
    const { file, path, shape, coded } = this.weight(id);
    if (coded) return this.#coded.read(coded, range ?? [0, sizeOf(shape)], out);
    return (this.files.h5[file] as Hdf5).readBytes(path, range, out);
  }

  /** The whole file, as it was opened. */
  fileBytes(): Uint8Array {
    const bytes = new Uint8Array(this.files.source.size);
    this.files.source.read(bytes, 0);
    return bytes;
  }

  /** @throws BitnibbleError `missing-weight` */
  weight(id: string): KerasWeight {
    const weight = this.#byId.get(id);
    if (!weight) throw new BitnibbleError('missing-weight', `${this.file}: no weight named ${id}`);
    return weight;
  }

  /** Closes its files. Weights cannot be read any more. */
  close(): void {
    for (const file of this.files.h5) {
      file.close();
      if (file.source !== this.files.source) file.source.close?.();
    }
    this.files.source.close?.();
  }
}
