import type { Program } from './program.js';
import type { LayerRecord } from './record.js';
import type { PART_KERNELS } from './thread.js';

/** A part of a layer that a thread computes alone: a record of its own, and where it begins. */
export interface Part {
  readonly record: number;
  /** Bytes behind the layer's first activation, and its first output. */
  readonly x: number;
  readonly out: number;
}

/** Multiply-adds that are worth a second thread. */
const LEAST_MACS = 50_000;

/** In how many parts a layer is computed. @param most rows or panels that it has */
export const partsOf = (program: Program, macs: number, most: number): number =>
  Math.max(1, Math.min(program.threads, most, Math.floor(macs / LEAST_MACS)));

/** Where part `i` of `parts` begins, of n things. */
export const startOf = (n: number, parts: number, i: number): number => Math.floor((n * i) / parts);

/** Shares of a record: output rows, pixels of a single row, or panels of a single pixel. */
export function shareRecord(
  program: Program,
  macs: number,
  fields: Partial<LayerRecord> &
    Pick<LayerRecord, 'width' | 'pixels' | 'strideRow' | 'stridePixel' | 'outPitch'>,
): { readonly fields: Partial<LayerRecord>; readonly x: number; readonly out: number }[] {
  const { width, pixels, strideRow, stridePixel, outPitch, columns = 0, first = 0 } = fields;
  const { panels = 0, panelBytes = 0, scales = 0, bias = 0 } = fields;
  const rows = width === 0 ? 0 : pixels / width;
  const units = rows > 1 ? rows : pixels > 1 ? Math.ceil(pixels / 4) : Math.ceil(columns / 8);
  const parts = partsOf(program, macs, units);
  if (parts === 1) return [{ fields, x: 0, out: 0 }];
  return Array.from({ length: parts }, (_, i) => {
    const [from, to] = [startOf(units, parts, i), startOf(units, parts, i + 1)];
    if (rows > 1) {
      const own = { ...fields, pixels: (to - from) * width };
      return { fields: own, x: from * strideRow, out: from * width * outPitch };
    }
    if (pixels > 1) {
      const [a, b] = [4 * from, Math.min(4 * to, pixels)];
      return { fields: { ...fields, width: b - a, pixels: b - a }, x: a * stridePixel, out: a * outPitch };
    }
    const a = 8 * from;
    const own = {
      ...{ ...fields, first: first + a, columns: Math.min(8 * to, columns) - a },
      panels: panels === 0 ? 0 : panels + from * panelBytes,
      ...{ scales: scales + 4 * a, bias: bias + 4 * a },
    };
    return { fields: own, x: 0, out: 4 * a };
  });
}

/** As {@link shareRecord}, by output rows alone: each row of kernels for single channels stands for itself. */
export function shareRows(program: Program, macs: number, fields: Parameters<typeof shareRecord>[2]) {
  return fields.pixels > fields.width ? shareRecord(program, macs, fields) : [{ fields, x: 0, out: 0 }];
}

/** Runs the parts of a layer, on threads where there are several. @param own range that the outputs widen */
export function runParts(
  program: Program,
  kernel: (typeof PART_KERNELS)[number],
  parts: readonly Part[],
  x: number,
  out: number,
  factor: number,
  isPositive: number,
  own: number,
): void {
  const { kernels, crew, words } = program;
  if (parts.length > 1 && crew) {
    for (let i = 0; i < parts.length; i++) {
      const part = parts[i] as Part;
      crew.part(i, part.record, x + part.x, out + part.out, program.partSlot(i));
    }
    crew.run(kernel, parts.length, factor, isPositive);
    const at = own >> 2;
    for (let i = 0; i < parts.length; i++) {
      const slot = program.partSlot(i) >> 2;
      words[at] = Math.max(words[at] as number, words[slot] as number);
      words[at + 1] = (words[at + 1] as number) | (words[slot + 1] as number);
      words[slot] = 0;
      words[slot + 1] = 0;
    }
    return;
  }
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i] as Part;
    const [from, to] = [x + part.x, out + part.out];
    if (kernel === 'convolve') kernels.convolve(part.record, from, to, factor, own);
    else if (kernel === 'convolveWinograd')
      kernels.convolveWinograd(part.record, from, to, factor, isPositive, own);
    else kernels[kernel](part.record, from, to, own);
  }
}
