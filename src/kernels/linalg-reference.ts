import { CHUNK_ROWS, type LinearAlgebra, type Operand, type Room } from './linalg-types.js';
import { STRIP, TILE_IN, TILE_OUT, tilesOf } from './winograd.js';

const { fround } = Math;

const elementAt = ({ at, rowStride, columnStride }: Operand, row: number, column: number) =>
  at + row * rowStride + column * columnStride;

/** Plain loops: they define the bits. */
export const referenceLinearAlgebra: LinearAlgebra = {
  backend: 'reference',
  room: (): Room => ({
    float64: (length) => new Float64Array(length),
    float32: (length) => new Float32Array(length),
  }),
  addGram(total, x, rows, k) {
    this.addCross(total, x, x, rows, k, k);
  },
  addCross(total, x, t, rows, k, n) {
    for (let start = 0; start < rows; start += CHUNK_ROWS) {
      const end = Math.min(rows, start + CHUNK_ROWS);
      for (let i = 0; i < k; i++)
        for (let j = 0; j < n; j++) {
          let sum = 0;
          for (let row = start; row < end; row++)
            sum = fround(sum + fround((x[row * k + i] as number) * (t[row * n + j] as number)));
          total[i * n + j] = (total[i * n + j] as number) + sum;
        }
    }
  },
  subtractProduct(c, a, b, rows, columns, depth) {
    for (let row = 0; row < rows; row++)
      for (let column = 0; column < columns; column++) {
        let sum = 0;
        for (let d = 0; d < depth; d++)
          sum += (a.values[elementAt(a, row, d)] as number) * (b.values[elementAt(b, d, column)] as number);
        const at = elementAt(c, row, column);
        c.values[at] = (c.values[at] as number) - sum;
      }
  },
  convolve(y, x, kernel, bias, size) {
    const { images, height, width, channels, outputs, border } = size;
    const { outHeight, outWidth, down, across } = tilesOf(size);
    const tile = new Float32Array(TILE_IN * TILE_IN * channels);
    const made = new Float32Array(TILE_IN * TILE_IN);
    const pixel = (image: number, row: number, column: number, c: number) =>
      row < 0 || row >= height || column < 0 || column >= width
        ? 0
        : (x[((image * height + row) * width + column) * channels + c] as number);
    for (let index = 0; index < images * down * across; index++) {
      const image = Math.floor(index / (down * across));
      const top = (Math.floor(index / across) % down) * TILE_OUT;
      const left = (index % across) * TILE_OUT;
      for (let c = 0; c < channels; c++) {
        const columns = Array.from({ length: TILE_IN }, (_, j) =>
          six(
            Array.from({ length: TILE_IN }, (_, i) => pixel(image, top + i - border, left + j - border, c)),
          ),
        );
        for (let i = 0; i < TILE_IN; i++)
          six(columns.map((column) => column[i] as number)).forEach((value, j) => {
            tile[(i * TILE_IN + j) * channels + c] = value;
          });
      }
      for (let k = 0; k < outputs; k++) {
        for (let f = 0; f < made.length; f++) {
          const from = f * channels * outputs + (k - (k % STRIP)) * channels + (k % STRIP);
          let sum = 0;
          for (let c = 0; c < channels; c++)
            sum = fround(
              sum + fround((tile[f * channels + c] as number) * (kernel[from + c * STRIP] as number)),
            );
          made[f] = sum;
        }
        const columns = Array.from({ length: TILE_IN }, (_, j) =>
          four(Array.from({ length: TILE_IN }, (_, i) => made[i * TILE_IN + j] as number)),
        );
        for (let i = 0; i < TILE_OUT; i++)
          four(columns.map((column) => column[i] as number)).forEach((value, j) => {
            const [row, column] = [top + i, left + j];
            if (row < outHeight && column < outWidth)
              y[((image * outHeight + row) * outWidth + column) * outputs + k] = value + (bias[k] as number);
          });
      }
    }
  },
  subtractScaled(y, factor, x) {
    for (let i = 0; i < x.length; i++) y[i] = (y[i] as number) - factor * (x[i] as number);
  },
};

/** `B' d`, see `winogradInput` of assembly/linalg.ts, with its order of sums. */
function six([d0, d1, d2, d3, d4, d5]: readonly number[]): number[] {
  const [v0, v1, v2, v3, v4, v5] = [d0, d1, d2, d3, d4, d5] as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const a = fround(v4 - fround(4 * v2));
  const b = fround(v3 - fround(4 * v1));
  const c = fround(v4 - v2);
  const d = fround(v3 - v1);
  const e = fround(d + d);
  return [
    fround(fround(fround(4 * v0) - fround(5 * v2)) + v4),
    ...[fround(a + b), fround(a - b), fround(c + e), fround(c - e)],
    fround(fround(fround(4 * v1) - fround(5 * v3)) + v5),
  ];
}

/** `A' m`, see `winogradOutput`, likewise. */
function four(m: readonly number[]): number[] {
  const [m0, m1, m2, m3, m4, m5] = m as [number, number, number, number, number, number];
  const p = fround(m1 + m2);
  const q = fround(m1 - m2);
  const r = fround(m3 + m4);
  const s = fround(m3 - m4);
  return [
    fround(fround(m0 + p) + r),
    fround(q + fround(s + s)),
    fround(p + fround(4 * r)),
    fround(fround(q + fround(8 * s)) + m5),
  ];
}
