import { BitnibbleError } from '../errors.js';
import type { JsonObject, ModelSource, WeightInfo } from '../model.js';
import { sizeOf } from '../shape.js';
import type { LayerNode } from './config.js';
import type { H5File } from './h5.js';
import { readLegacyModel } from './legacy.js';

/** A weight and where its file keeps it. */
export interface KerasWeight extends WeightInfo {
  /** Top-level layer whose group holds it. */
  readonly group: string;
  /** Dataset in the file. */
  readonly path: string;
}

/** A trained Keras model in a file that stays open: weights are read when asked for. Close it when done. */
export class KerasModel implements ModelSource {
  readonly architecture: JsonObject;
  /** Optimizer, loss and metrics, where the model was compiled. */
  readonly trainingConfig: JsonObject | undefined;
  readonly kerasVersion: string;
  readonly backend: string;
  /** Top-level layers in the order of the architecture. */
  readonly layers: readonly LayerNode[];
  /** Every weight of every layer, in the file's order; optimizer state is not among them. */
  readonly weights: readonly KerasWeight[];
  readonly #file: H5File;
  readonly #byId: ReadonlyMap<string, KerasWeight>;

  constructor(file: H5File) {
    const model = readLegacyModel(file);
    this.#file = file;
    this.architecture = model.architecture;
    this.trainingConfig = model.trainingConfig;
    this.kerasVersion = model.kerasVersion;
    this.backend = model.backend;
    this.layers = model.layers;
    this.weights = model.weights;
    this.#byId = new Map(model.weights.map((weight) => [weight.id, weight]));
  }

  /** For messages: the file's name. */
  get file(): string {
    return this.#file.name;
  }

  /** Name of the model itself. */
  get name(): string {
    const config = this.architecture.config;
    const name =
      config !== null && typeof config === 'object' && !Array.isArray(config) ? config.name : undefined;
    return typeof name === 'string' ? name : 'model';
  }

  /** Number of weights of all tensors together. */
  get parameters(): number {
    return this.weights.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  }

  /**
   * Values of a float32 weight, C order.
   * @throws BitnibbleError `unsupported-dtype` for other number types, `corrupt-file` for damaged data
   */
  read(id: string): Float32Array {
    const weight = this.weight(id);
    if (weight.dtype !== 'F32') {
      throw new BitnibbleError(
        'unsupported-dtype',
        `${this.file}: expected float32 weights, got ${weight.dtype} (tensor ${id})`,
      );
    }
    const bytes = this.readBytes(id);
    return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  }

  /** Values of any weight as little-endian bytes, C order. */
  readBytes(id: string): Uint8Array {
    return this.#file.readBytes(this.weight(id).path);
  }

  /** The whole file. */
  fileBytes(): Uint8Array {
    const bytes = new Uint8Array(this.#file.source.size);
    this.#file.source.read(bytes, 0);
    return bytes;
  }

  /** @throws BitnibbleError `missing-weight` */
  weight(id: string): KerasWeight {
    const weight = this.#byId.get(id);
    if (!weight) throw new BitnibbleError('missing-weight', `${this.file}: no weight named ${id}`);
    return weight;
  }

  close(): void {
    this.#file.close();
    this.#file.source.close?.();
  }
}
