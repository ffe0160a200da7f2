import { BitnibbleError } from '../errors.js';
import { toFloat32 } from '../formats/dtypes.js';
import type { Decoder } from '../kernels/types.js';
import type { JsonObject, ModelInfo, ModelSource, WeightInfo } from '../model.js';
import { dequantizeTensor, SCHEMES } from '../schemes/decode.js';
import { type DecodeTarget, fillTarget } from '../schemes/target.js';
import type { QuantizedTensor } from '../schemes/types.js';

/** A weight of a quantized model: codes and scales, or its bytes as they were and why. */
export type PackedWeight = WeightInfo &
  (
    | { readonly kind: 'quantized'; readonly tensor: QuantizedTensor }
    | {
        readonly kind: 'kept';
        readonly reason: string;
        /** In the number type of the Keras file, little endian. */
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
  readonly activationRanges?: string;
  readonly #byId: ReadonlyMap<string, PackedWeight>;

  constructor(
    info: ModelInfo,
    /** In the order of the model. */
    readonly weights: readonly PackedWeight[],
    readonly kernels: Decoder,
  ) {
    this.file = info.file;
    this.architecture = info.architecture;
    this.kerasVersion = info.kerasVersion;
    this.backend = info.backend;
    if (info.activationRanges !== undefined) this.activationRanges = info.activationRanges;
    this.#byId = new Map(weights.map((weight) => [weight.id, weight]));
  }

  /** @throws BitnibbleError `missing-weight` */
  weight(id: string): PackedWeight {
    const weight = this.#byId.get(id);
    if (!weight) throw new BitnibbleError('missing-weight', `${this.file}: no weight named ${id}`);
    return weight;
  }

  /**
   * The decoded values of one weight, C order, in memory of their own.
   * @throws BitnibbleError `missing-weight`, `not-finite` where a scale times a code overflows float32
   */
  read(id: string): Float32Array {
    return readWeight(this.kernels, this.weight(id), this.file);
  }

  /**
   * {@link read} into memory of the caller, `product(shape)` values: float32, or half precision.
   * @throws RangeError for too short an `out`, and for a value that half precision cannot hold
   */
  readInto<T extends DecodeTarget>(id: string, out: T): T {
    return readWeight(this.kernels, this.weight(id), this.file, out);
  }
}

/** Whether a scale is so large that it makes infinity with the largest code, which need not be there. */
function mayOverflow({ coding, scales }: QuantizedTensor): boolean {
  const most = SCHEMES[coding.scheme].largest;
  return scales.some((scale) => !Number.isFinite(Math.fround(scale * most)));
}

/**
 * The decoded values of one weight, in `out` or in memory of their own.
 * @throws BitnibbleError `not-finite` where a scale times a code overflows float32
 */
export function readWeight(kernels: Decoder, weight: PackedWeight, file: string): Float32Array;
export function readWeight<T extends DecodeTarget>(
  kernels: Decoder,
  weight: PackedWeight,
  file: string,
  out?: T,
): T;
export function readWeight(
  kernels: Decoder,
  weight: PackedWeight,
  file: string,
  out?: DecodeTarget,
): DecodeTarget {
  const context = `tensor ${weight.id}`;
  if (weight.kind === 'quantized') {
    const { tensor } = weight;
    if (!mayOverflow(tensor))
      return out ? dequantizeTensor(kernels, tensor, out, context) : dequantizeTensor(kernels, tensor);
    const values = dequantizeTensor(kernels, tensor);
    const at = values.findIndex((value) => !Number.isFinite(value));
    if (at >= 0)
      throw new BitnibbleError(
        'not-finite',
        `${file}: ${context}: its scale and code make ${values[at]} at index ${at}`,
      );
    return out ? fillTarget(values, out, context) : values;
  }
  return out
    ? fillTarget(toFloat32(weight.bytes(), weight.dtype), out, context)
    : toFloat32(weight.bytes().slice(), weight.dtype);
}
