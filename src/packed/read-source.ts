import { BitnibbleError } from '../errors.js';
import { toFloat32 } from '../formats/dtypes.js';
import type { RandomAccess } from '../formats/random-access.js';
import {
  readSafetensorsHeader,
  type SafetensorsEntry,
  type SafetensorsHeader,
  safetensorsHeaderBytes,
} from '../formats/safetensors.js';
import type { Decoder } from '../kernels/types.js';
import { damagedModel, type PackedPlan, type PlannedWeight, planPacked } from './plan.js';
import { type PackedWeight, QuantizedModel } from './quantized-model.js';
import { hasPadding, requireFiniteScales } from './read.js';

/** Bytes of scales that are looked at at once. */
const PIECE = 2 ** 20;

/** A safetensors file where it lies. */
export interface SourceFile {
  readonly header: SafetensorsHeader;
  /** Bytes of a tensor. @throws BitnibbleError `corrupt-file` where the file has become shorter */
  readonly read: (entry: SafetensorsEntry) => Uint8Array;
}

/** Reads the header of a safetensors file. @param what names the file in errors */
export function openSourceFile(source: RandomAccess, what: string): SourceFile {
  const bytesAt = (start: number, end: number): Uint8Array => {
    const bytes = new Uint8Array(end - start);
    if (source.read(bytes, start) === bytes.length) return bytes;
    throw new BitnibbleError('corrupt-file', `${what}: cut off: no bytes ${start} to ${end - 1}`);
  };
  const length = safetensorsHeaderBytes(bytesAt(0, Math.min(8, source.size)), what);
  const header = readSafetensorsHeader(bytesAt(0, Math.min(length, source.size)), what, source.size);
  const { dataStart } = header;
  return { header, read: ({ start, end }) => bytesAt(dataStart + start, dataStart + end) };
}

/**
 * Opens a packed file where it lies, such as a file on disk: its header is read and its scales are checked, codes and
 * kept tensors are read each time that they are asked for. The source has to stay open.
 *
 * @throws BitnibbleError what {@link openPacked} throws; the weights' own reads too, where the file has become shorter
 */
export function openPackedSource(source: RandomAccess, kernels: Decoder, what: string): QuantizedModel {
  const { header, read } = openSourceFile(source, what);
  return modelOf(planPacked(header, what), read, kernels, what);
}

/** A model whose tensors are read each time that they are asked for. Its scales are checked first. */
export function modelOf(
  { info, weights }: PackedPlan,
  read: SourceFile['read'],
  kernels: Decoder,
  what: string,
): QuantizedModel {
  const weightAt = (planned: PlannedWeight): PackedWeight => {
    const { id, layer, className, name, shape, dtype } = planned;
    const info = { id, layer, className, name, shape, dtype };
    if (planned.kind === 'kept')
      return { ...info, kind: 'kept', reason: planned.reason, bytes: () => read(planned.data) };
    const { coding, layout, codes, scales } = planned;
    const last = read({ ...codes, start: Math.max(codes.start, codes.end - 1) });
    if (hasPadding(planned, last))
      throw damagedModel(what, `tensor ${id}.codes has padding bits that are not zero`);
    for (let at = scales.start; at < scales.end; at += PIECE) {
      const piece = read({ ...scales, start: at, end: Math.min(at + PIECE, scales.end) });
      requireFiniteScales(toFloat32(piece, scales.dtype), planned, what);
    }
    const tensor = {
      ...{ coding, shape, layout },
      get codes() {
        return read(codes);
      },
      get scales() {
        return toFloat32(read(scales), scales.dtype);
      },
    };
    return { ...info, kind: 'quantized', tensor };
  };
  return new QuantizedModel(info, weights.map(weightAt), kernels);
}
