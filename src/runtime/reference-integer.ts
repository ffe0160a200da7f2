import { type LayerRecord, RUN_BYTES, readRecord } from './record.js';
import { clamp, roundEven } from './reference-math.js';
import type { ReferenceMemory } from './reference-memory.js';
import type { Kernels } from './types.js';

const { fround } = Math;

/** Level of the code at element `e`: int4 q, int2 2 q + 1, binary +-1. */
export function levelAt(memory: ReferenceMemory, codes: number, bits: number, e: number): number {
  const at = e * bits;
  const code = (memory.byte(codes + (at >> 3)) >> (at & 7)) & ((1 << bits) - 1);
  if (bits === 1) return 2 * code - 1;
  const q = code < 1 << (bits - 1) ? code : code - (1 << bits);
  return bits === 2 ? 2 * q + 1 : q;
}

export interface Run {
  readonly offset: number;
  readonly rows: number;
  readonly group: number;
}

export const runsOf = (memory: ReferenceMemory, { table, runs }: LayerRecord): Run[] =>
  Array.from({ length: runs }, (_, i) => {
    const at = table + i * RUN_BYTES;
    return { offset: memory.int(at), rows: memory.int(at + 4), group: memory.int(at + 8) };
  });

/** Address of the first activation of an output pixel. */
export const pixelAt = (layer: LayerRecord, x: number, pixel: number): number =>
  x + Math.floor(pixel / layer.width) * layer.strideRow + (pixel % layer.width) * layer.stridePixel;

/** `(2G) g (2G)'` and its parts. */
const G2 = [
  [2, 0, 0],
  [1, 1, 1],
  [1, -1, 1],
  [0, 0, 2],
] as const;
const B = [
  [1, 0, -1, 0],
  [0, 1, 1, 0],
  [0, -1, 1, 0],
  [0, 1, 0, -1],
] as const;
const A = [
  [1, 1, 1, 0],
  [0, 1, -1, -1],
] as const;

type Matrix = readonly (readonly number[])[];
const product = (a: Matrix, b: Matrix): number[][] =>
  a.map((row) => b[0]!.map((_, j) => row.reduce((sum, v, k) => sum + v * (b[k]?.[j] as number), 0)));
const turned = (a: Matrix): number[][] => a[0]!.map((_, j) => a.map((row) => row[j] as number));
const around = (a: Matrix, m: Matrix): number[][] => product(product(a, m), turned(a));

/** Products of 16-bit activations and levels: plain loops that define the bits. */
export function integerKernels(memory: ReferenceMemory) {
  const panelOf = (
    layer: LayerRecord,
    record: number,
    n: number,
    decode: (r: number, n: number, p: number) => void,
  ) => {
    if (layer.panels !== 0) return layer.panels + (n >> 3) * layer.panelBytes;
    decode(record, n, layer.scratch);
    return layer.scratch;
  };

  const kernels = {
    quantize(x, height, width, channels, pitch, out, rows, across, depth, top, left, inverse, limit) {
      memory.clear(out, rows * across * depth * 2);
      for (let y = 0; y < height && top + y < rows; y++)
        for (let i = 0; i < width && left + i < across; i++)
          for (let c = 0; c < channels; c++) {
            const value = memory.float(x + (y * width + i) * pitch + 4 * c);
            const scaled = fround(value * fround(inverse));
            // NaN, which is below nothing, becomes the upper bound.
            const q = roundEven(scaled < limit ? Math.max(scaled, -limit) : limit);
            memory.setShort(out + 2 * (((top + y) * across + left + i) * depth + c), q);
          }
    },
    decodePanel(record, n, panel) {
      const layer = readRecord(memory.buffer, record);
      let k = 0;
      let at = panel;
      for (const { rows } of runsOf(memory, layer)) {
        for (let row = 0; row < rows + (rows & 1); row++) {
          for (let column = 0; column < 8; column++) {
            const e = layer.first + (k + row) * layer.rowStride + n + column;
            const level = row < rows ? levelAt(memory, layer.codes, layer.bits, e) : 0;
            memory.setShort(at + 32 * (row >> 1) + 4 * column + 2 * (row & 1), level);
          }
        }
        k += rows;
        at += 32 * ((rows + 1) >> 1);
      }
    },
    decodeWinograd(record, n, panel) {
      const layer = readRecord(memory.buffer, record);
      const { channels, depth, rowStride } = layer;
      const sums = panel + 16 * 16 * depth;
      memory.clear(panel, 16 * 16 * depth + 32);
      for (let c = 0; c < channels; c++)
        for (let column = 0; column < 8; column++) {
          const g = [0, 1, 2].map((r) =>
            [0, 1, 2].map((s) => {
              const k = (3 * r + s) * channels + c;
              return levelAt(memory, layer.codes, layer.bits, layer.first + k * rowStride + n + column);
            }),
          );
          const u = around(G2, g).flat();
          u.forEach((value, i) => {
            memory.setShort(panel + i * 16 * depth + 32 * (c >> 1) + 4 * column + 2 * (c & 1), value);
          });
          const at = sums + 4 * column;
          memory.setInt(at, memory.int(at) + (u[5] as number));
        }
    },
    decodeRow(codes, bits, first, n, scale, out) {
      for (let i = 0; i < n; i++)
        memory.setFloat(out + 4 * i, fround(levelAt(memory, codes, bits, first + i) * fround(scale)));
    },
    convolve(record, x, out, factor, slot) {
      const layer = readRecord(memory.buffer, record);
      const runs = runsOf(memory, layer);
      for (let n = 0; n < layer.columns; n += 8) {
        const panel = panelOf(layer, record, n, this.decodePanel);
        for (let pixel = 0; pixel < layer.pixels; pixel++)
          for (let column = 0; column < Math.min(8, layer.columns - n); column++) {
            let total: number | undefined;
            let sum = 0;
            let at = panel + 4 * column;
            for (const { offset, rows, group } of runs) {
              const from = pixelAt(layer, x, pixel) + offset;
              for (let k = 0; k < rows; k++)
                sum += memory.short(from + 2 * k) * memory.short(at + 32 * (k >> 1) + 2 * (k & 1));
              at += 32 * ((rows + 1) >> 1);
              if (group < 0) continue;
              const scale = memory.float(layer.scales + group + 4 * (n + column));
              const part = fround(fround(sum) * fround(scale * fround(factor)));
              total = total === undefined ? part : fround(total + part);
              sum = 0;
            }
            const bias = memory.float(layer.bias + 4 * (n + column));
            const value = clamp(fround((total as number) + bias), layer.low, layer.high);
            memory.setFloat(out + pixel * layer.outPitch + 4 * (n + column), value);
            memory.widen(slot, value);
          }
      }
    },
    convolveWinograd(record, x, out, factor, _isPositive, slot) {
      const layer = readRecord(memory.buffer, record);
      const { depth, width, height, tilesAcross } = layer;
      const row = 2 * (2 * tilesAcross + 2) * depth;
      for (let n = 0; n < layer.columns; n += 8) {
        const panel = panelOf(layer, record, n, this.decodeWinograd);
        for (let column = 0; column < Math.min(8, layer.columns - n); column++) {
          const scale = fround(memory.float(layer.scales + 4 * (n + column)) * fround(factor));
          const quarter = fround(scale / 4);
          const bias = memory.float(layer.bias + 4 * (n + column));
          for (let y = 0; y < height; y += 2)
            for (let i = 0; i < width; i += 2) {
              const m = [0, 1, 2, 3].map(() => [0, 0, 0, 0]);
              for (let c = 0; c < depth; c++) {
                const d = [0, 1, 2, 3].map((r) =>
                  [0, 1, 2, 3].map((s) => memory.short(x + (y + r) * row + 2 * ((i + s) * depth + c))),
                );
                around(B, d).forEach((values, r) => {
                  values.forEach((v, s) => {
                    const at = panel + (4 * r + s) * 16 * depth + 32 * (c >> 1) + 4 * column + 2 * (c & 1);
                    m[r]![s]! += v * memory.short(at);
                  });
                });
              }
              around(A, m).forEach((sums, r) => {
                sums.forEach((sum, s) => {
                  if (y + r >= height || i + s >= width) return;
                  const value = clamp(fround(fround(fround(sum) * quarter) + bias), layer.low, layer.high);
                  const pixel = (y + r) * width + i + s;
                  memory.setFloat(out + pixel * layer.outPitch + 4 * (n + column), value);
                  memory.widen(slot, value);
                });
              });
            }
        }
      }
    },
  } satisfies Pick<
    Kernels,
    'quantize' | 'decodePanel' | 'decodeWinograd' | 'decodeRow' | 'convolve' | 'convolveWinograd'
  >;
  return kernels;
}
