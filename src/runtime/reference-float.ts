import { readRecord } from './record.js';
import { pixelAt, runsOf } from './reference-integer.js';
import { clamp, larger } from './reference-math.js';
import type { ReferenceMemory } from './reference-memory.js';
import type { Kernels } from './types.js';

const { fround } = Math;

/** Products in float32, pools and moves: plain loops that define the bits. */
export function floatKernels(memory: ReferenceMemory) {
  return {
    range(x, n, slot) {
      for (let i = 0; i < n; i++) memory.widen(slot, memory.float(x + 4 * i));
    },
    border(x, height, width, channels, pitch, out, rows, across, repeat, top, left) {
      memory.clear(out, rows * across * channels * repeat * 4);
      for (let y = 0; y < height && top + y < rows; y++)
        for (let i = 0; i < width && left + i < across; i++)
          for (let c = 0; c < channels; c++)
            for (let r = 0; r < repeat; r++) {
              const to = (((top + y) * across + left + i) * channels + c) * repeat + r;
              memory.copy(out + 4 * to, x + (y * width + i) * pitch + 4 * c, 4);
            }
    },
    packPanels(from, rows, columns, rowBytes, columnBytes, to) {
      for (let n = 0; n < columns; n += 8)
        for (let k = 0; k < rows; k++)
          for (let i = 0; i < 8; i++) {
            const at = to + 4 * (n * rows + 8 * k + i);
            if (n + i < columns) memory.copy(at, from + k * rowBytes + (n + i) * columnBytes, 4);
            else memory.setFloat(at, 0);
          }
    },
    convolveFloat(record, x, out, slot) {
      const layer = readRecord(memory.buffer, record);
      const runs = runsOf(memory, layer);
      for (let pixel = 0; pixel < layer.pixels; pixel++)
        for (let n = 0; n < layer.columns; n++) {
          let sum = 0;
          let at = layer.panels + (n >> 3) * layer.panelBytes + 4 * (n & 7);
          for (const { offset, rows } of runs)
            for (let k = 0; k < rows; k++, at += 32) {
              const value = memory.float(pixelAt(layer, x, pixel) + offset + 4 * k);
              sum = fround(sum + fround(value * memory.float(at)));
            }
          const value = clamp(fround(sum + memory.float(layer.bias + 4 * n)), layer.low, layer.high);
          memory.setFloat(out + pixel * layer.outPitch + 4 * n, value);
          memory.widen(slot, value);
        }
    },
    depthwise(record, x, out, slot) {
      const layer = readRecord(memory.buffer, record);
      const runs = runsOf(memory, layer);
      for (let pixel = 0; pixel < layer.pixels; pixel++)
        for (let c = 0; c < layer.columns; c++) {
          let sum = 0;
          runs.forEach(({ offset }, tap) => {
            const value = memory.float(pixelAt(layer, x, pixel) + offset + 4 * c);
            sum = fround(sum + fround(value * memory.float(layer.panels + tap * layer.panelBytes + 4 * c)));
          });
          const value = clamp(fround(sum + memory.float(layer.bias + 4 * c)), layer.low, layer.high);
          memory.setFloat(out + pixel * layer.outPitch + 4 * c, value);
          memory.widen(slot, value);
        }
    },
    pool(...[x, height, width, channels, tall, wide, strideY, strideX, top, left, rows, across, how, out]) {
      for (let oy = 0; oy < rows; oy++)
        for (let ox = 0; ox < across; ox++)
          for (let c = 0; c < channels; c++) {
            let value = how ? Number.NEGATIVE_INFINITY : 0;
            let count = 0;
            for (let y = oy * strideY - top; y < oy * strideY - top + tall; y++)
              for (let i = ox * strideX - left; i < ox * strideX - left + wide; i++) {
                if (y < 0 || y >= height || i < 0 || i >= width) continue;
                const v = memory.float(x + 4 * ((y * width + i) * channels + c));
                value = how === 0 ? fround(value + v) : how === 1 ? larger(value, v) : Math.max(value, v);
                count++;
              }
            const to = out + 4 * ((oy * across + ox) * channels + c);
            memory.setFloat(to, how ? value : fround(value / Math.max(1, count)));
          }
    },
    move(from, out, n0, n1, n2, bytes, from0, from1, from2, out0, out1, out2) {
      for (let i = 0; i < n0; i++)
        for (let j = 0; j < n1; j++)
          for (let k = 0; k < n2; k++) {
            const to = out + i * out0 + j * out1 + k * out2;
            memory.copy(to, from + i * from0 + j * from1 + k * from2, bytes);
          }
    },
    fill(out, n, value) {
      for (let i = 0; i < n; i++) memory.setFloat(out + 4 * i, value);
    },
    scatter(...args) {
      const [y, height, width, channels, tall, wide, strideY, strideX, ...rest] = args;
      const [dilationY, dilationX, top, left, rows, across, bias, out] = rest;
      for (let oy = 0; oy < rows; oy++)
        for (let ox = 0; ox < across; ox++)
          for (let c = 0; c < channels; c++) {
            let sum = 0;
            for (let r = 0; r < tall; r++)
              for (let q = 0; q < wide; q++) {
                const iy = (oy + top - r * dilationY) / strideY;
                const ix = (ox + left - q * dilationX) / strideX;
                if (!Number.isInteger(iy) || !Number.isInteger(ix)) continue;
                if (iy < 0 || iy >= height || ix < 0 || ix >= width) continue;
                const at = (((iy * width + ix) * tall + r) * wide + q) * channels + c;
                sum = fround(sum + memory.float(y + 4 * at));
              }
            const value = fround(sum + memory.float(bias + 4 * c));
            memory.setFloat(out + 4 * ((oy * across + ox) * channels + c), value);
          }
    },
    interpolate(x, height, width, channels, rows, across, out) {
      const place = (o: number, from: number, to: number) => {
        const at = Math.max(0, fround(fround(fround(o + 0.5) * fround(from / to)) - 0.5));
        const low = Math.min(Math.floor(at), from - 1);
        return { low, high: Math.min(low + 1, from - 1), part: fround(at - low) };
      };
      const between = (a: number, b: number, part: number) => fround(a + fround(fround(b - a) * part));
      for (let oy = 0; oy < rows; oy++)
        for (let ox = 0; ox < across; ox++)
          for (let c = 0; c < channels; c++) {
            const v = place(oy, height, rows);
            const h = place(ox, width, across);
            const at = (y: number, i: number) => memory.float(x + 4 * ((y * width + i) * channels + c));
            const upper = between(at(v.low, h.low), at(v.low, h.high), h.part);
            const lower = between(at(v.high, h.low), at(v.high, h.high), h.part);
            memory.setFloat(out + 4 * ((oy * across + ox) * channels + c), between(upper, lower, v.part));
          }
    },
  } satisfies Partial<Kernels>;
}
