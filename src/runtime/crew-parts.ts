import { partsOf, startOf } from './parts.js';
import type { Part, Share, SharedFields, Sharing } from './sharing.js';

function splitRecord(threads: number, macs: number, fields: SharedFields): readonly Share[] {
  const { width, pixels, strideRow, stridePixel, outPitch, columns = 0, first = 0 } = fields;
  const { panels = 0, panelBytes = 0, scales = 0, bias = 0 } = fields;
  const rows = width === 0 ? 0 : pixels / width;
  const units = rows > 1 ? rows : pixels > 1 ? Math.ceil(pixels / 4) : Math.ceil(columns / 8);
  const parts = partsOf(threads, macs, units);
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

const runTogether: Sharing['runTogether'] = (
  program,
  crew,
  kernel,
  parts,
  x,
  out,
  factor,
  isPositive,
  own,
) => {
  const { words } = program;
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
};

export const SHARING: Sharing = { splitRecord, runTogether };
