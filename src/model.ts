/** Number types of stored weights, by their safetensors names. */
export type Dtype =
  | 'BOOL'
  | 'U8'
  | 'I8'
  | 'U16'
  | 'I16'
  | 'F16'
  | 'BF16'
  | 'U32'
  | 'I32'
  | 'F32'
  | 'U64'
  | 'I64'
  | 'F64';

/** Bytes per element. */
export const DTYPE_BYTES: Readonly<Record<Dtype, number>> = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  U16: 2,
  I16: 2,
  F16: 2,
  BF16: 2,
  U32: 4,
  I32: 4,
  F32: 4,
  U64: 8,
  I64: 8,
  F64: 8,
};

/** A Keras (sub-)configuration, as parsed from JSON. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
/** An object of JSON. */
export type JsonObject = { [key: string]: Json };

/** Whether a value of JSON is an object, and no list. */
export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What a weight is, without its values. */
export interface WeightInfo {
  /** Unique in its model: `layer/name`, with the path of sub-models before it. */
  readonly id: string;
  /** The layer that owns it, with the sub-models that hold it before: `conv2d`, `encoder/conv2d`. */
  readonly layer: string;
  /** Class of that layer, wrappers before it: `Conv2D`, `Bidirectional/LSTM`. */
  readonly className: string;
  /** Variable name without path and `:0`: `kernel`, `bias`, `moving_mean`. */
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: Dtype;
  /** The class was told from names: the file has no architecture, or it does not mention this layer. */
  readonly guessed?: boolean;
  /** Configuration of the layer that owns it, of the wrapped one where it is a wrapper. */
  readonly config?: JsonObject;
  /** How the file has it, where that is not as an array of its values. */
  readonly stored?: StoredForm;
}

/** How a file has a weight that Keras itself quantized, or that adapters belong to. */
export interface StoredForm {
  /** `int8`, `int4/128`, `gptq/4/128`, `awq/4/128`, `float8`, `lora`, `int8 and lora`. */
  readonly as: string;
  /** Bytes of all arrays that it is computed from. */
  readonly bytes: number;
  /** Why the codes are kept as they are: what it takes to decode them is not in the file. */
  readonly kept?: string;
}

/** Where a Keras model came from. */
export interface ModelInfo {
  /** For messages: the file's name. */
  readonly file: string;
  /** `{ class_name, config }` as Keras wrote it; undefined for a file of weights alone. */
  readonly architecture: JsonObject | undefined;
  readonly kerasVersion: string;
  readonly backend: string;
  /** What the model was compiled with, loss among it, where the file says. */
  readonly trainingConfig?: JsonObject | undefined;
  /** Of a packed file, `activation_ranges` as it stands there: `packed/ranges.ts` reads it. */
  readonly activationRanges?: string;
}

/** A Keras model wherever its weights live: in an HDF5 file, a packed file, or memory. */
export interface ModelSource extends ModelInfo {
  readonly weights: readonly WeightInfo[];
  /** The values of one weight as float32, C order. Read when asked for, not kept. */
  read(id: string): Float32Array;
}

/** A model that can be quantized: its weights can be had as they are stored, whole or in pieces. */
export interface QuantizableModel extends ModelSource {
  /** Number of weights of all tensors together. */
  readonly parameters: number;
  /** Ids of the weights whose values are not those of the file any more. Absent: none. */
  readonly changed?: ReadonlySet<string>;
  /**
   * Values of a weight as little-endian bytes of its number type, C order.
   * @param range elements from and to, in C order; all unless given
   * @param out memory to fill; new unless given
   */
  readBytes(id: string, range?: readonly [from: number, to: number], out?: Uint8Array): Uint8Array;
}
