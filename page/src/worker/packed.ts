import type { ByteSource } from 'bitnibble/keras';
import { readSafetensorsHeader, safetensorsHeaderBytes } from '../../../src/formats/safetensors.js';
import { type PackedPlan, type PlannedWeight, partsOf, planPacked } from '../../../src/packed/plan.js';
import { GRIDS } from '../../../src/schemes/grids.js';
import { SCHEMES } from '../../../src/schemes/quantize.js';
import type { SchemeName } from '../../../src/schemes/types.js';
import { sizeOf } from '../../../src/shape.js';
import type { Levels, PackedFacts, PackedTensor } from './protocol.js';

/** Bytes of codes that are counted at a time. */
const SLICE = 2 ** 20;

/** A packed file that is read where it lies. */
export class PackedFile {
  readonly facts: PackedFacts;
  readonly #plan: PackedPlan;
  readonly #dataStart: number;

  /** Reads the header; data is read when it is asked for. */
  constructor(
    private readonly source: ByteSource,
    file: string,
  ) {
    const prefix = new Uint8Array(8);
    source.read(prefix, 0);
    const head = new Uint8Array(safetensorsHeaderBytes(prefix, file));
    source.read(head, 0);
    const header = readSafetensorsHeader(head, file, source.size);
    this.#dataStart = header.dataStart;
    this.#plan = planPacked(header, file);
    this.facts = factsOf(this.#plan, file, source.size);
  }

  /** Counts the codes of a tensor. @throws RangeError for a tensor that has none */
  levels(id: string): Levels {
    const weight = this.#plan.weights.find((known) => known.id === id);
    if (weight?.kind !== 'quantized') throw new RangeError(`expected a quantized weight (tensor ${id})`);
    const { scheme } = weight.coding;
    const { bits } = SCHEMES[scheme];
    const { start, end } = weight.codes;
    const bytes = new Float64Array(256);
    const slice = new Uint8Array(Math.min(SLICE, end - start));
    for (let at = start; at < end; at += slice.length) {
      const part = slice.subarray(0, Math.min(slice.length, end - at));
      this.source.read(part, this.#dataStart + at);
      for (const byte of part) (bytes[byte] as number)++;
    }
    const counts = new Float64Array(2 ** bits);
    const perByte = 8 / bits;
    for (const [byte, count] of bytes.entries())
      for (let i = 0; i < perByte; i++) {
        const code = (byte >> (i * bits)) & (2 ** bits - 1);
        counts[code] = (counts[code] as number) + count;
      }
    // Bits behind the last code are zeros, which readers check.
    counts[0] = (counts[0] as number) - (perByte * (end - start) - sizeOf(weight.shape));
    const levels = [...counts].map((count, code) => ({ value: levelOf(code, scheme), count }));
    return { levels: levels.sort((a, b) => a.value - b.value) };
  }
}

/** What a code stands for, in steps of the scale. Codes of more than one bit are two's complement: docs/FORMAT.md. */
function levelOf(code: number, scheme: SchemeName): number {
  const { offset, step, levels } = GRIDS[scheme];
  return offset + step * (levels === 2 ? code : (code + levels / 2) % levels);
}

function factsOf({ info, weights }: PackedPlan, file: string, size: number): PackedFacts {
  const packed = weights.filter(({ kind }) => kind === 'quantized');
  const count = (list: typeof weights) => list.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  const bytes = packed.reduce((sum, weight) => sum + bytesOf(weight), 0);
  return {
    ...{ kind: 'packed', file, bytes: size, kerasVersion: info.kerasVersion },
    layers: new Set(weights.map(({ layer }) => layer)).size,
    parameters: count(weights),
    packedParameters: count(packed),
    bitsPerWeight: packed.length === 0 ? 0 : (8 * bytes) / count(packed),
    tensors: weights.map(tensorOf),
  };
}

const bytesOf = (weight: PlannedWeight) =>
  partsOf(weight).reduce((sum, { start, end }) => sum + end - start, 0);

function tensorOf(weight: PlannedWeight): PackedTensor {
  const { id, className, shape } = weight;
  const tensor = { id, className, shape, bytes: bytesOf(weight) };
  if (weight.kind === 'kept') return { ...tensor, coding: `kept: ${weight.reason}` };
  const { scheme, granularity, groupSize, scale } = weight.coding;
  const of = groupSize === undefined ? '' : ` of ${groupSize}`;
  const coding = `${scheme}, one scale per ${granularity}${of}, ${scale}`;
  return { ...tensor, coding, bits: SCHEMES[scheme].bits };
}
