import { CHUNK_ROWS, type LinearAlgebra, type Operand, type Room } from './linalg-types.js';

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
  subtractScaled(y, factor, x) {
    for (let i = 0; i < x.length; i++) y[i] = (y[i] as number) - factor * (x[i] as number);
  },
};
