import { bytesOf as byteView, toFloat32 } from '../formats/dtypes.js';
import type { NewValues } from '../keras/save.js';
import type { Difference, Kernels } from '../kernels/types.js';
import { DTYPE_BYTES, type QuantizableModel, type WeightInfo } from '../model.js';
import { type PackedWeight, QuantizedModel } from '../packed/quantized-model.js';
import { codesOf, layoutPacked, type PlannedWeight, scaleBytes, scalesOf } from '../packed/write.js';
import { codeBytes, codingOf } from '../schemes/decode.js';
import { differenceOf, layoutOf, quantizedBytes, quantizeTensor } from '../schemes/quantize.js';
import {
  type CodedTensor,
  codeInSlices,
  decodedSlices,
  isLarge,
  type ReadSlice,
  type WriteCodes,
} from '../schemes/slices.js';
import type { Coding, QuantizedTensor, QuantizeOptions, SchemeName } from '../schemes/types.js';
import { sizeOf } from '../shape.js';
import { type Decision, decide, parseRecipe, type Recipe } from './recipe.js';

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
  options: QuantizeModelOptions,
): { model: QuantizedModel; report: QuantizeReport } {
  const packed: PackedWeight[] = [];
  const report = eachWeight(model, planQuantized(model, recipe), options, {
    kept(weight) {
      const changed = model.changed?.has(weight.id) ? { changed: true } : {};
      packed.push({ ...weight, ...changed, bytes: () => model.readBytes(weight.id) });
    },
    whole: (weight, tensor) => packed.push({ ...weight, tensor }),
    codes(weight) {
      const { coding } = weight.tensor;
      const codes = new Uint8Array(codeBytes(weight.shape, coding.scheme));
      return {
        write: (part, at) => codes.set(part, at),
        end: (tensor) => packed.push({ ...weight, tensor: { ...tensor, codes } }),
      };
    },
  });
  return { model: new QuantizedModel(model, packed, options.kernels), report };
}

/** Takes a file's bytes in any order. */
export type WriteAt = (bytes: Uint8Array, position: number) => void;

/** Takes the bytes of tensors in any order: of a tensor by its name, from one of its bytes on. */
export type WriteTensor = (tensor: string, bytes: Uint8Array, position: number) => void;

/**
 * Quantizes a model straight into a packed file, which holds at any time no more than some slices of a tensor in memory. The
 * bytes are those of `writePacked(quantizeModel(...).model)`.
 *
 * @param write is given every byte of the file once
 * @throws BitnibbleError as {@link quantizeModel}
 */
export function quantizeInto(
  model: QuantizableModel,
  recipe: Recipe,
  options: QuantizeModelOptions,
  write: WriteAt,
): QuantizeReport {
  const plan = planQuantized(model, recipe);
  const { head, places } = layoutPacked(
    model,
    plan.map(({ weight }) => weight),
  );
  write(head, 0);
  return quantizePlanned(model, plan, options, (tensor, bytes, position) =>
    write(bytes, (places.get(tensor) as number) + position),
  );
}

/**
 * Quantizes weights tensor by tensor, in order; no more than some slices of a tensor are in memory.
 *
 * @param plan of {@link planQuantized}, or some of its weights
 * @param write is given every byte of the weights' tensors once
 * @throws BitnibbleError as {@link quantizeModel}
 */
export function quantizePlanned(
  model: QuantizableModel,
  plan: readonly PlannedDecision[],
  options: QuantizeModelOptions,
  write: WriteTensor,
): QuantizeReport {
  const writeScales = ({ id }: WeightInfo, { scales, coding }: Pick<QuantizedTensor, 'scales' | 'coding'>) =>
    write(scalesOf(id), scaleBytes(scales, coding), 0);
  return eachWeight(model, plan, options, {
    kept(weight) {
      const size = sizeOf(weight.shape);
      const width = DTYPE_BYTES[weight.dtype];
      for (let from = 0; from < size; from += KEPT_SLICE) {
        const to = Math.min(size, from + KEPT_SLICE);
        write(weight.id, model.readBytes(weight.id, [from, to]), from * width);
      }
    },
    whole(weight, tensor) {
      writeScales(weight, tensor);
      write(codesOf(weight.id), tensor.codes, 0);
    },
    codes: (weight) => ({
      write: (part, at) => write(codesOf(weight.id), part, at),
      end: (tensor) => writeScales(weight, tensor),
    }),
  });
}

/** Elements of kept tensors that are copied at once. */
const KEPT_SLICE = 2 ** 20;

/** How a weight will be stored, and by which decision. */
export interface PlannedDecision {
  readonly weight: PlannedWeight;
  readonly decision: Decision | undefined;
}

/** How each weight of a model will be stored. @throws BitnibbleError `recipe`, `unsupported-dtype` */
export function planQuantized(model: QuantizableModel, recipe: Recipe): PlannedDecision[] {
  const decisions = decide(parseRecipe(recipe), model.weights, model.file);
  return model.weights.map((own) => {
    const weight = infoOf(own);
    const decision = decisions.get(weight.id);
    if (!decision || 'keep' in decision)
      return { weight: { ...weight, kind: 'kept', reason: decision?.keep ?? 'no rule' }, decision };
    const { shape } = weight;
    const context = contextOf(weight, model);
    const coding = codingOf(decision.options, shape.length, context);
    const layout = layoutOf(shape, coding, context);
    return { weight: { ...weight, kind: 'quantized', tensor: { coding, layout } }, decision };
  });
}

const contextOf = ({ id }: WeightInfo, { file }: QuantizableModel): string => `tensor ${id} of ${file}`;

type Kept = PlannedWeight & { readonly kind: 'kept' };
type Quantized = PlannedWeight & { readonly kind: 'quantized' };

/** What becomes of each weight. */
interface Target {
  kept(weight: Kept): void;
  /** A tensor of which all is in memory. */
  whole(weight: Quantized, tensor: QuantizedTensor): void;
  /** A tensor whose codes come in parts. */
  codes(weight: Quantized): { write: WriteCodes; end(tensor: CodedTensor): void };
}

function eachWeight(
  model: QuantizableModel,
  plan: readonly PlannedDecision[],
  { kernels, onProgress }: QuantizeModelOptions,
  target: Target,
): QuantizeReport {
  const total = plan.reduce((sum, { weight }) => sum + sizeOf(weight.shape), 0);
  const tensors: TensorReport[] = [];
  let done = 0;
  for (const { weight, decision } of plan) {
    const size = sizeOf(weight.shape);
    if (weight.kind === 'kept' || !decision || 'keep' in decision) {
      const { reason } = weight as Kept;
      target.kept(weight as Kept);
      tensors.push({ ...rowOf(weight), result: 'kept', reason, bytesAfter: bytesOf(weight) });
    } else {
      const onSlice = (share: number) => onProgress?.(done + Math.floor(size * share), total, weight.id);
      const { options, guess } = decision;
      const { tensor, difference } = quantizeWeight(model, weight, kernels, options, target, onSlice);
      const { signal, noise, maxError } = difference;
      const { coding } = tensor;
      tensors.push({
        ...rowOf(weight),
        result: coding.scheme,
        coding,
        ...(guess ? { guess: true } : {}),
        bytesAfter: quantizedBytes(tensor),
        snrDb: 10 * Math.log10(signal / noise),
        maxError,
      });
    }
    done += size;
    onProgress?.(done, total, weight.id);
  }
  return reportOf(tensors);
}

/** Whole where it is small, else slice by slice: no more than a few slices of any tensor are in memory. */
function quantizeWeight(
  model: QuantizableModel,
  weight: Quantized,
  kernels: Kernels,
  options: QuantizeOptions,
  target: Target,
  onSlice: (done: number) => void,
): { tensor: CodedTensor; difference: Difference } {
  const { id, shape, dtype } = weight;
  const context = contextOf(weight, model);
  if (isLarge(shape)) {
    let other = new Uint8Array(0);
    const read: ReadSlice = (from, to, memory) => {
      const bytes = (to - from) * DTYPE_BYTES[dtype];
      if (dtype !== 'F32' && other.length < bytes) other = new Uint8Array(bytes);
      const out = dtype === 'F32' ? byteView(memory) : other;
      return toFloat32(model.readBytes(id, [from, to], out), dtype);
    };
    const { write, end } = target.codes(weight);
    const result = codeInSlices(kernels, read, shape, options, write, context, onSlice);
    end(result.tensor);
    return result;
  }
  const values = model.read(id);
  const tensor = quantizeTensor(kernels, values, shape, options, context);
  target.whole(weight, tensor);
  return { tensor, difference: differenceOf(kernels, values, tensor) };
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
