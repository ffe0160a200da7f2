/**
 * Networks as ONNX models: the container, operations for every layer, weights as codes.
 * @module bitnibble/onnx
 */
import { type CodedSource, metadataOf } from '../export/stored.js';
import type { ModelSource } from '../model.js';
import { dropIdentities, openNetwork } from '../network/index.js';
import { encodeModel } from './container.js';
import { emitNetwork } from './emit.js';
import type { Model } from './types.js';
import type { WeightStorage } from './weights.js';

export type { WeightStorage } from './weights.js';

/** How a model becomes an ONNX model. */
export interface OnnxOptions {
  /**
   * How weights that are codes are stored. `folded`, the default: low-bit in the file, made floats once, while the model loads;
   * `low-bit`: low-bit in memory too, where a runtime keeps them so; `float`: as float32.
   */
  readonly weights?: WeightStorage;
  /** Version of the program, for the producer. */
  readonly version?: string;
  /** Bytes of the largest file; data of tensors goes to a second one where the model has more. Default: almost 2 GiB. */
  readonly mostBytes?: number;
}

/** A model in the files of ONNX. */
export interface OnnxFiles {
  /** The model. @param dataName name of the file of data, where there is one */
  model(dataName?: string): Iterable<Uint8Array>;
  /** Contents of the file of data; undefined where the model is one file. */
  readonly data: Iterable<Uint8Array> | undefined;
  /** Bytes of all its files. */
  readonly bytes: number;
  /** Version of ONNX's operations that a runtime has to know. */
  readonly opset: number;
  /** Weights that are stored as codes. */
  readonly lowBit: readonly string[];
  /** What was done otherwise than asked for, and why. */
  readonly remarks: readonly string[];
}

/**
 * A Keras model, float or packed, as an ONNX model: inputs and outputs with Keras's names, shapes and order, the batch open.
 *
 * @throws BitnibbleError `unsupported-layer` naming every layer that ONNX cannot hold, before any weight is written;
 *   `missing-weight`, `shape-mismatch`
 */
export function onnxModelFiles(model: ModelSource, options: OnnxOptions = {}): OnnxFiles {
  const { weights: storage = 'folded', version = '', mostBytes } = options;
  const { network, source } = openNetwork(model);
  const { graph, builder, weights } = emitNetwork(dropIdentities(network), source as CodedSource, storage);
  const { irVersion, opsets } = builder.versions();
  const whole: Model = {
    ...{ graph, irVersion, opsets },
    producer: { name: 'bitnibble', version },
    metadata: metadataOf(model, storage, weights.coded),
  };
  const encoded = mostBytes === undefined ? encodeModel(whole) : encodeModel(whole, mostBytes);
  const remarks = [...weights.widened].map(
    (id) => `${id}: its scales lie so that it becomes float32 while the model loads`,
  );
  return {
    model: (dataName) => encoded.model(dataName).pieces(),
    data: encoded.data,
    bytes: encoded.bytes,
    opset: opsets[''] as number,
    lowBit: [...weights.coded.keys()],
    remarks,
  };
}
