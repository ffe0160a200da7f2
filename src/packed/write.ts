import { bytesOf } from '../formats/dtypes.js';
import { floatToHalf } from '../formats/float16.js';
import {
  layoutSafetensors,
  type SafetensorsLayout,
  type SafetensorsTensor,
  type TensorHead,
  writeSafetensors,
} from '../formats/safetensors.js';
import type { ModelInfo, WeightInfo } from '../model.js';
import { codeBytes } from '../schemes/decode.js';
import type { Coding, QuantizedTensor } from '../schemes/types.js';
import { blockShape } from '../shape.js';
import { FORMAT, type StoredWeight, VERSION } from './format.js';
import type { PackedWeight, QuantizedModel } from './quantized-model.js';

/** A weight of which it is known how it will be stored, and no value yet. */
export type PlannedWeight = WeightInfo &
  (
    | { readonly kind: 'quantized'; readonly tensor: Pick<QuantizedTensor, 'coding' | 'layout'> }
    | { readonly kind: 'kept'; readonly reason: string }
  );

function stored(weight: PlannedWeight): StoredWeight {
  const { id, layer, className, name, shape, dtype } = weight;
  const base = { id, layer, class: className, name, shape, dtype };
  if (weight.kind === 'kept') return { ...base, scheme: 'keep', reason: weight.reason };
  const { scheme, granularity, groupSize, axes, scale } = weight.tensor.coding;
  return {
    ...base,
    scheme,
    granularity,
    ...(granularity === 'group' ? { group_size: groupSize } : {}),
    ...(granularity === 'tensor' ? {} : { axes }),
    scale,
  };
}

/** Names of the tensors that hold a weight. */
export const scalesOf = (id: string): string => `${id}.scales`;
export const codesOf = (id: string): string => `${id}.codes`;

/** The tensors that hold a weight. */
export function headsOf(weight: PlannedWeight): TensorHead[] {
  const { id, shape } = weight;
  if (weight.kind === 'kept') return [{ name: id, dtype: weight.dtype, shape }];
  const { coding, layout } = weight.tensor;
  return [
    { name: scalesOf(id), dtype: coding.scaleDtype, shape: blockShape(layout) },
    { name: codesOf(id), dtype: 'U8', shape: [codeBytes(shape, coding.scheme)] },
  ];
}

/** The scales of a weight as a packed file has them. */
export const scaleBytes = (scales: Float32Array, { scaleDtype }: Coding): Uint8Array =>
  bytesOf(scaleDtype === 'F16' ? floatToHalf(scales) : scales);

/** The same, with their bytes. */
export function tensorsOf(weight: PackedWeight): SafetensorsTensor[] {
  const [first, second] = headsOf(weight) as [TensorHead, TensorHead];
  if (weight.kind === 'kept') return [{ ...first, bytes: weight.bytes }];
  const { codes, scales, coding } = weight.tensor;
  return [
    { ...first, bytes: () => scaleBytes(scales, coding) },
    { ...second, bytes: () => codes },
  ];
}

/** What `__metadata__` of a packed file says. */
export const metadataOf = (
  model: ModelInfo,
  weights: readonly PlannedWeight[],
): (readonly [string, string])[] => [
  ['format', FORMAT],
  ['format_version', VERSION],
  ['keras_version', model.kerasVersion],
  ['keras_backend', model.backend],
  ...(model.architecture ? ([['architecture', JSON.stringify(model.architecture)]] as const) : []),
  ['weights', JSON.stringify(weights.map(stored))],
  ...(model.activationRanges === undefined ? [] : ([['activation_ranges', model.activationRanges]] as const)),
];

/** Where everything of a packed file will lie, so that it can be written in any order. */
export const layoutPacked = (model: ModelInfo, weights: readonly PlannedWeight[]): SafetensorsLayout =>
  layoutSafetensors(weights.flatMap(headsOf), metadataOf(model, weights));

/**
 * A quantized model as a packed file, piece by piece: header, scales and kept tensors, codes.
 * The layout is specified in `docs/FORMAT.md`.
 */
export function writePacked(model: QuantizedModel): Generator<Uint8Array> {
  return writeSafetensors(model.weights.flatMap(tensorsOf), metadataOf(model, model.weights));
}

/** {@link writePacked} in one piece. */
export function packedBytes(model: QuantizedModel): Uint8Array {
  const pieces = [...writePacked(model)];
  const out = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    out.set(piece, at);
    at += piece.length;
  }
  return out;
}
