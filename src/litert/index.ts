/**
 * Networks as LiteRT models (.tflite): the container, operations for every layer, weights as codes.
 * @module bitnibble/litert
 */
import { BitnibbleError } from '../errors.js';
import { type CodedSource, metadataOf } from '../export/stored.js';
import type { ModelSource } from '../model.js';
import { dropIdentities, openNetwork } from '../network/index.js';
import { encodeModel } from './container.js';
import { emitNetwork } from './emit.js';
import type { FloatReason, Integers } from './integers.js';
import type { WeightStorage } from './weights.js';

export type { WeightStorage } from './weights.js';

/** How a model becomes a LiteRT model. */
export interface LiteRtOptions {
  /**
   * How weights that are codes are stored. `exact`, the default: low-bit in the file, made floats when the model first
   * runs; `fast`: as integers of 8 bits, with which convolutions and dense layers are computed, activations rounded to 8 bits
   * as they come; `float`: as float32.
   */
  readonly weights?: WeightStorage;
  /** Samples that the model takes at once: LiteRT's shapes are static. Default: 1. */
  readonly batch?: number;
  /** Version of the program, for the description. */
  readonly version?: string;
}

/** A model as a .tflite file. */
export interface LiteRtFile {
  /** Its bytes; those of weights are made as they are read. */
  pieces(): Iterable<Uint8Array>;
  readonly bytes: number;
  /** Operations, without those that only move weights. */
  readonly operations: number;
  /** Weights that are stored as codes. */
  readonly lowBit: readonly string[];
  /** What was done otherwise than asked for, and why. */
  readonly remarks: readonly string[];
}

/** The oldest interpreter that models were run with, by TensorFlow's count. */
const RUNTIME = '2.21.0';

/** FlatBuffers point with 32 bits, and LiteRT takes files of 2 GiB at most. */
const MOST_BYTES = 2 ** 31 - 1;

/**
 * A Keras model, float or packed, as a LiteRT model: inputs and outputs with Keras's names, shapes and order.
 *
 * @throws BitnibbleError `unsupported-layer` naming every layer that LiteRT cannot hold, or a model that is too large for
 *   its files, before any weight is written; `missing-weight`, `shape-mismatch`
 */
export function liteRtModelFile(model: ModelSource, options: LiteRtOptions = {}): LiteRtFile {
  const { weights: storage = 'exact', batch = 1, version = '' } = options;
  if (!(Number.isSafeInteger(batch) && batch > 0))
    throw new RangeError(`"batch" expected a whole number from 1, got ${batch}`);
  const { network, source } = openNetwork(model);
  const emitted = emitNetwork(dropIdentities(network), source as CodedSource, storage, batch);
  const { graph, weights, integers } = emitted;
  const ports = (list: typeof network.inputs, tensors: readonly string[]) =>
    list.map(({ name }, i) => [name, tensors[i] as string] as const);
  const file = encodeModel({
    graphs: [graph],
    inputs: ports(network.inputs, graph.inputs),
    outputs: ports(network.outputs, graph.outputs),
    description: `bitnibble ${version}`.trim(),
    metadata: {
      min_runtime_version: RUNTIME.padEnd(16, '\0'),
      ...metadataOf(model, storage, weights.coded),
    },
  });
  if (file.length > MOST_BYTES) {
    const message = `${model.file}: LiteRT takes files of at most ${MOST_BYTES} bytes, this one would have ${file.length}`;
    throw new BitnibbleError('too-large', message);
  }
  return {
    pieces: () => file.pieces(),
    bytes: file.length,
    operations: graph.operations.length,
    lowBit: [...weights.coded.keys()],
    remarks: remarksOf(integers),
  };
}

/** Weights that are decoded, one and several, by the reason. */
const DECODED: Readonly<Record<FloatReason, readonly [one: string, several: string]>> = {
  first: ['the kernel of a convolution of an input', 'kernels of convolutions of inputs'],
  depthwise: ['the kernel of a depthwise convolution', 'kernels of depthwise convolutions'],
  other: [
    'a weight for which LiteRT has no product of integers',
    'weights for which LiteRT has no products of integers',
  ],
};
/** Names that are listed of several. */
const LISTED = 3;

function remarksOf(integers: Integers | undefined): string[] {
  if (!integers || integers.decoded.length === 0) return [];
  const { taken, decoded } = integers;
  const parts = (Object.keys(DECODED) as FloatReason[]).flatMap((reason) => {
    const names = decoded.filter(([, own]) => own === reason).map(([name]) => name);
    if (names.length === 0) return [];
    const [one, several] = DECODED[reason];
    const more = names.length > LISTED ? ` and ${names.length - LISTED} more` : '';
    const what = names.length === 1 ? one : `${names.length} ${several}`;
    return [`${what} (${names.slice(0, LISTED).join(', ')}${more})`];
  });
  return [
    `${taken.length} of ${taken.length + decoded.length} weights are computed with as integers; decoded to float32: ${parts.join('; ')}`,
  ];
}
