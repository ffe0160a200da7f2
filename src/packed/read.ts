import { toFloat32 } from '../formats/dtypes.js';
import { readSafetensorsHeader, type SafetensorsEntry } from '../formats/safetensors.js';
import type { Decoder } from '../kernels/types.js';
import { SCHEMES } from '../schemes/decode.js';
import { sizeOf } from '../shape.js';
import { damagedModel, type PlannedQuantized, type PlannedWeight, planPacked } from './plan.js';
import { type PackedWeight, QuantizedModel } from './quantized-model.js';

/**
 * Opens a packed file; codes and kept tensors are views of `bytes`, decoded when read.
 *
 * @param kernels of `loadKernels` or, enough to read with, of `loadDecoder`
 * @param what names the file in errors
 * @throws BitnibbleError `not-safetensors`, `unknown-format` (a safetensors file of somebody else),
 *   `unsupported-version`, `unsupported-dtype`, `missing-weight`, `corrupt-file`
 */
export function openPacked(bytes: Uint8Array, kernels: Decoder, what = 'packed model'): QuantizedModel {
  const header = readSafetensorsHeader(bytes, what);
  const { info, weights } = planPacked(header, what);
  const data = ({ start, end }: SafetensorsEntry) =>
    bytes.subarray(header.dataStart + start, header.dataStart + end);
  const packed = weights.map((weight) => packedWeight(weight, data, what));
  return new QuantizedModel(info, packed, kernels);
}

/**
 * A weight whose bytes are there.
 * @throws BitnibbleError `corrupt-file` for padding bits that are not zero and scales that are not finite
 */
export function packedWeight(
  weight: PlannedWeight,
  data: (entry: SafetensorsEntry) => Uint8Array,
  what: string,
): PackedWeight {
  const { id, layer, className, name, shape, dtype } = weight;
  const info = { id, layer, className, name, shape, dtype };
  if (weight.kind === 'kept') {
    const bytes = data(weight.data);
    return { ...info, kind: 'kept', reason: weight.reason, bytes: () => bytes };
  }
  const { coding, layout } = weight;
  const codes = data(weight.codes);
  if (hasPadding(weight, codes))
    throw damagedModel(what, `tensor ${id}.codes has padding bits that are not zero`);
  const scales = toFloat32(data(weight.scales), weight.scales.dtype);
  requireFiniteScales(scales, weight, what);
  return { ...info, kind: 'quantized', tensor: { coding, shape, layout, codes, scales } };
}

/** Whether bits behind the last code are set. @param codes all of them, or the end */
export function hasPadding({ coding, shape }: PlannedQuantized, codes: Uint8Array): boolean {
  const bits = SCHEMES[coding.scheme].bits * sizeOf(shape);
  return (codes.at(-1) ?? 0) >> (((bits + 7) % 8) + 1) !== 0;
}

export function requireFiniteScales(scales: Float32Array, { id }: PlannedWeight, what: string): void {
  const bad = scales.find((scale) => !Number.isFinite(scale));
  if (bad !== undefined) throw damagedModel(what, `tensor ${id}.scales holds ${bad}`);
}
