import { bytesOf } from '../formats/dtypes.js';
import { floatToHalf } from '../formats/float16.js';
import { type SafetensorsTensor, writeSafetensors } from '../formats/safetensors.js';
import { blockShape } from '../shape.js';
import { FORMAT, type StoredWeight, VERSION } from './format.js';
import type { PackedWeight, QuantizedModel } from './quantized-model.js';

function stored(weight: PackedWeight): StoredWeight {
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

function tensorsOf(weight: PackedWeight): SafetensorsTensor[] {
  const { id } = weight;
  if (weight.kind === 'kept') {
    return [{ name: id, dtype: weight.dtype, shape: weight.shape, bytes: weight.bytes }];
  }
  const { codes, scales, coding, layout } = weight.tensor;
  const dtype = coding.scaleDtype;
  return [
    {
      name: `${id}.scales`,
      dtype,
      shape: blockShape(layout),
      bytes: () => bytesOf(dtype === 'F16' ? floatToHalf(scales) : scales),
    },
    { name: `${id}.codes`, dtype: 'U8', shape: [codes.length], bytes: () => codes },
  ];
}

/**
 * A quantized model as a packed file, piece by piece: header, scales and kept tensors, codes.
 * The layout is specified in `docs/FORMAT.md`.
 */
export function writePacked(model: QuantizedModel): Generator<Uint8Array> {
  return writeSafetensors(model.weights.flatMap(tensorsOf), [
    ['format', FORMAT],
    ['format_version', VERSION],
    ['keras_version', model.kerasVersion],
    ['keras_backend', model.backend],
    ...(model.architecture ? ([['architecture', JSON.stringify(model.architecture)]] as const) : []),
    ['weights', JSON.stringify(model.weights.map(stored))],
    ...(model.activationRanges === undefined
      ? []
      : ([['activation_ranges', model.activationRanges]] as const)),
  ]);
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
