import type { ByteSource } from 'bitnibble/keras';
import { readSafetensorsHeader, safetensorsHeaderBytes } from '../../../src/formats/safetensors.js';
import { partsOf, planPacked } from '../../../src/packed/plan.js';
import { sizeOf } from '../../../src/shape.js';
import type { PackedFacts } from './protocol.js';

/** What the header of a packed file says; its data is not read. */
export function packedFacts(source: ByteSource, file: string): PackedFacts {
  const prefix = new Uint8Array(8);
  source.read(prefix, 0);
  const head = new Uint8Array(safetensorsHeaderBytes(prefix, file));
  source.read(head, 0);
  const { info, weights } = planPacked(readSafetensorsHeader(head, file, source.size), file);
  const packed = weights.filter(({ kind }) => kind === 'quantized');
  const count = (list: typeof weights) => list.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  const bytes = packed.flatMap(partsOf).reduce((sum, { start, end }) => sum + end - start, 0);
  return {
    ...{ kind: 'packed', file, bytes: source.size, kerasVersion: info.kerasVersion },
    layers: new Set(weights.map(({ layer }) => layer)).size,
    parameters: count(weights),
    packedParameters: count(packed),
    bitsPerWeight: packed.length === 0 ? 0 : (8 * bytes) / count(packed),
    tensors: weights.map((weight) => {
      const { id, shape } = weight;
      if (weight.kind === 'kept') return { id, shape, coding: `kept: ${weight.reason}` };
      const { scheme, granularity, groupSize, scale } = weight.coding;
      const of = groupSize === undefined ? '' : ` of ${groupSize}`;
      return { id, shape, coding: `${scheme}, one scale per ${granularity}${of}, ${scale}` };
    }),
  };
}
