import { toFloat32 } from '../formats/dtypes.js';
import type { NewValues } from '../keras/save.js';
import type { Difference, Kernels } from '../kernels/types.js';
import { DTYPE_BYTES, type QuantizableModel, type WeightInfo } from '../model.js';
import { type PackedWeight, QuantizedModel } from '../packed/quantized-model.js';
import { dequantizeTensor, quantizedBytes, quantizeTensor } from '../schemes/quantize.js';
import { decodedSlices, isLarge, quantizeInSlices } from '../schemes/slices.js';
import type { Coding, QuantizedTensor, QuantizeOptions, SchemeName } from '../schemes/types.js';
import { sizeOf } from '../shape.js';
import { decide, parseRecipe, type Recipe } from './recipe.js';

/** What became of one tensor. */
export interface TensorReport {
  readonly id: string;
  readonly layer: string;
  readonly className: string;
  readonly shape: readonly number[];
  readonly dtype: string;
  readonly parameters: number;
  /** A scheme's name, or `kept`. */
  readonly result: SchemeName | 'kept';
  /** Why it was kept. */
  readonly reason?: string;
  readonly coding?: Coding;
  /** The channel axis is a guess: the layer's class is not known. */
  readonly guess?: boolean;
  /** How the file has it, where Keras quantized it itself: `int8`, `int4/128`, ... Its values were decoded. */
  readonly stored?: string;
  readonly bytesBefore: number;
  readonly bytesAfter: number;
  /** `10 log10(sum w^2 / sum (w - v)^2)`, dB; Infinity where nothing was lost. */
  readonly snrDb?: number;
  /** Largest `|w - v|`. */
  readonly maxError?: number;
}

/** Every tensor of a model, and the sums. */
export interface QuantizeReport {
  readonly tensors: readonly TensorReport[];
  readonly parameters: number;
  readonly quantizedParameters: number;
  readonly bytesBefore: number;
  readonly bytesAfter: number;
  /** Bits per weight of the quantized tensors, their scales included. */
  readonly bitsPerWeight: number;
}

/** What quantizing a model needs. */
export interface QuantizeModelOptions {
  /** Of `loadKernels`. */
  readonly kernels: Kernels;
  /** Called after each tensor: weights done and in all. */
  readonly onProgress?: (done: number, total: number, id: string) => void;
}

/**
 * Quantizes a model tensor by tensor, as a recipe says: `{ default: { scheme: 'int4' } }` takes every kernel.
 *
 * The result reads kept tensors from the model's file when it is written, so close `model` after that.
 *
 * @throws BitnibbleError `not-finite`, `recipe`, `unsupported-dtype`, each naming the tensor or the rule
 */
export function quantizeModel(
  model: QuantizableModel,
  recipe: Recipe,
  { kernels, onProgress }: QuantizeModelOptions,
): { model: QuantizedModel; report: QuantizeReport } {
  const decisions = decide(parseRecipe(recipe), model.weights, model.file);
  const total = model.parameters;
  const packed: PackedWeight[] = [];
  const tensors: TensorReport[] = [];
  let done = 0;
  for (const weight of model.weights.map(infoOf)) {
    const decision = decisions.get(weight.id);
    if (!decision || 'keep' in decision) {
      const reason = decision?.keep ?? 'no rule';
      const changed = model.changed?.has(weight.id) ? { changed: true } : {};
      packed.push({ ...weight, kind: 'kept', reason, ...changed, bytes: () => model.readBytes(weight.id) });
      tensors.push({ ...rowOf(weight), result: 'kept', reason, bytesAfter: bytesOf(weight) });
    } else {
      const context = `tensor ${weight.id} of ${model.file}`;
      const size = sizeOf(weight.shape);
      const onSlice = (share: number) => onProgress?.(done + Math.floor(size * share), total, weight.id);
      const { tensor, difference } = quantizeWeight(
        model,
        weight,
        kernels,
        decision.options,
        context,
        onSlice,
      );
      const { signal, noise, maxError } = difference;
      packed.push({ ...weight, kind: 'quantized', tensor });
      tensors.push({
        ...rowOf(weight),
        result: tensor.coding.scheme,
        coding: tensor.coding,
        ...(decision.guess ? { guess: true } : {}),
        bytesAfter: quantizedBytes(tensor),
        snrDb: 10 * Math.log10(signal / noise),
        maxError,
      });
    }
    done += sizeOf(weight.shape);
    onProgress?.(done, total, weight.id);
  }
  return { model: new QuantizedModel(model, packed, kernels), report: reportOf(tensors) };
}

/** Whole where it is small, else slice by slice: no more than a few slices of any tensor are in memory. */
function quantizeWeight(
  model: QuantizableModel,
  { id, shape, dtype }: WeightInfo,
  kernels: Kernels,
  options: QuantizeOptions,
  context: string,
  onSlice: (done: number) => void,
): { tensor: QuantizedTensor; difference: Difference } {
  if (isLarge(shape)) {
    let memory = new Uint8Array(0);
    const read = (from: number, to: number): Float32Array => {
      const bytes = (to - from) * DTYPE_BYTES[dtype];
      if (memory.length < bytes) memory = new Uint8Array(bytes);
      return toFloat32(model.readBytes(id, [from, to], memory), dtype);
    };
    return quantizeInSlices(kernels, read, shape, options, context, onSlice);
  }
  const values = model.read(id);
  const tensor = quantizeTensor(kernels, values, shape, options, context);
  return { tensor, difference: kernels.difference(values, dequantizeTensor(kernels, tensor)) };
}

/** A weight without what its file adds to it. */
function infoOf(weight: WeightInfo): WeightInfo {
  const { id, layer, className, name, shape, dtype, guessed, config, stored } = weight;
  return {
    ...{ id, layer, className, name, shape, dtype },
    ...(guessed ? { guessed } : {}),
    ...(config ? { config } : {}),
    ...(stored ? { stored } : {}),
  };
}

/** The row of a tensor whose coding changed: `values` are the float ones. */
export function reportRow(
  row: TensorReport,
  model: QuantizedModel,
  kernels: Kernels,
  values: Float32Array,
): TensorReport {
  const weight = model.weight(row.id);
  if (weight.kind === 'kept') return row;
  const { signal, noise, maxError } = kernels.difference(values, model.read(row.id));
  return {
    ...row,
    coding: weight.tensor.coding,
    bytesAfter: quantizedBytes(weight.tensor),
    snrDb: 10 * Math.log10(signal / noise),
    maxError,
  };
}

function bytesOf({ shape, dtype }: WeightInfo): number {
  return sizeOf(shape) * DTYPE_BYTES[dtype];
}

/** Bytes that the file has for a weight: of codes and scales where it has these. */
function bytesBefore(weight: WeightInfo): number {
  return weight.stored?.bytes ?? bytesOf(weight);
}

function rowOf(weight: WeightInfo) {
  const { id, layer, className, shape, dtype } = weight;
  return {
    ...{ id, layer, className, shape, dtype, parameters: sizeOf(shape), bytesBefore: bytesBefore(weight) },
    ...(weight.stored ? { stored: weight.stored.as } : {}),
  };
}

/** Tensors and their sums. */
export function reportOf(tensors: readonly TensorReport[]): QuantizeReport {
  const sum = (rows: readonly TensorReport[], value: (row: TensorReport) => number) =>
    rows.reduce((total, row) => total + value(row), 0);
  const quantized = tensors.filter(({ result }) => result !== 'kept');
  const quantizedParameters = sum(quantized, (row) => row.parameters);
  return {
    tensors,
    parameters: sum(tensors, (row) => row.parameters),
    quantizedParameters,
    bytesBefore: sum(tensors, (row) => row.bytesBefore),
    bytesAfter: sum(tensors, (row) => row.bytesAfter),
    bitsPerWeight:
      quantizedParameters === 0 ? 0 : (8 * sum(quantized, (row) => row.bytesAfter)) / quantizedParameters,
  };
}

/**
 * Pairs of weight id and values of what was quantized, decoded, or changed by a transform, for `writeWeights`: a drop-in
 * Keras file. Large tensors come in pieces.
 */
export function* decodedWeights(model: QuantizedModel): Generator<readonly [string, NewValues]> {
  for (const weight of model.weights) {
    if (weight.kind === 'kept') {
      if (weight.changed) yield [weight.id, model.read(weight.id)];
      continue;
    }
    const { tensor } = weight;
    yield [weight.id, isLarge(weight.shape) ? decodedSlices(model.kernels, tensor) : model.read(weight.id)];
  }
}
