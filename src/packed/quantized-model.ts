import { BitnibbleError } from '../errors.js';
import { toFloat32 } from '../formats/dtypes.js';
import type { Kernels } from '../kernels/types.js';
import type { JsonObject, ModelInfo, ModelSource, WeightInfo } from '../model.js';
import { dequantizeTensor } from '../schemes/quantize.js';
import type { QuantizedTensor } from '../schemes/types.js';

/** A weight of a quantized model: codes and scales, or its bytes as they were and why. */
export type PackedWeight = WeightInfo &
  (
    | { readonly kind: 'quantized'; readonly tensor: QuantizedTensor }
    | {
        readonly kind: 'kept';
        readonly reason: string;
        readonly bytes: () => Uint8Array;
        /** The values are not those of the Keras file: a transform changed them. */
        readonly changed?: boolean;
      }
  );

/** A model of which some weights are codes and scales; fresh from the quantizer or read from a packed file. */
export class QuantizedModel implements ModelSource {
  readonly file: string;
  readonly architecture: JsonObject | undefined;
  readonly kerasVersion: string;
  readonly backend: string;
  readonly #byId: ReadonlyMap<string, PackedWeight>;

  constructor(
    info: ModelInfo,
    /** In the order of the model. */
    readonly weights: readonly PackedWeight[],
    readonly kernels: Kernels,
  ) {
    this.file = info.file;
    this.architecture = info.architecture;
    this.kerasVersion = info.kerasVersion;
    this.backend = info.backend;
    this.#byId = new Map(weights.map((weight) => [weight.id, weight]));
  }

  /** @throws BitnibbleError `missing-weight` */
  weight(id: string): PackedWeight {
    const weight = this.#byId.get(id);
    if (!weight) throw new BitnibbleError('missing-weight', `${this.file}: no weight named ${id}`);
    return weight;
  }

  /** The decoded values of one weight, C order, in memory of their own. */
  read(id: string): Float32Array {
    const weight = this.weight(id);
    return weight.kind === 'quantized'
      ? dequantizeTensor(this.kernels, weight.tensor)
      : toFloat32(weight.bytes().slice(), weight.dtype);
  }

  /**
   * {@link read} into memory of the caller: `product(shape)` values.
   * @throws RangeError where `out` has another length
   */
  readInto(id: string, out: Float32Array): Float32Array {
    const weight = this.weight(id);
    if (weight.kind === 'quantized') return dequantizeTensor(this.kernels, weight.tensor, out);
    out.set(toFloat32(weight.bytes(), weight.dtype));
    return out;
  }
}
