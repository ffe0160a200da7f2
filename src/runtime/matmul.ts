import { roundUp } from './context.js';
import { type Program, roomOf, type Tensor } from './program.js';

/** A product of two tensors: floats `rowA` apart from row to row; b's `rowB` and `columnB` apart. */
export interface Matmul {
  readonly rows: number;
  readonly depth: number;
  readonly columns: number;
  readonly rowA: number;
  readonly rowB: number;
  readonly columnB: number;
  readonly rowOut: number;
}

/** A product of two matrices in float32, one of which becomes panels in each call. */
export function makeMatmul(program: Program, m: Matmul): (a: number, b: number, out: number) => void {
  const { rows, depth, columns, rowA, rowB, columnB, rowOut } = m;
  program.room(roomOf('panel', 0), 4 * depth * roundUp(columns, 8));
  const bias = program.put(new Float32Array(roundUp(columns, 8)));
  const table = program.table([[0, depth, 0]]);
  const record = program.record(() => ({
    ...{ ...table, panels: program.roomAt(roomOf('panel', 0)), panelBytes: 32 * depth, columns, bias },
    ...{ width: rows, pixels: rows, strideRow: 0, stridePixel: 4 * rowA, outPitch: 4 * rowOut },
  }));
  const slot = program.slot();
  const { kernels } = program;
  return (a, b, out) => {
    kernels.packPanels(b, depth, columns, 4 * rowB, 4 * columnB, program.roomAt(roomOf('panel', 0)));
    kernels.convolveFloat(record, a, out, slot);
  };
}

/** Products of matrices `[count, rows, depth]` and `[count, depth, columns]`. @returns `[count, rows, columns]` */
export function addMatmul(program: Program, a: Tensor, b: Tensor): Tensor {
  const [count, rows, depth] = a.shape as [number, number, number];
  const columns = b.shape[2] as number;
  const out = program.tensor([count, rows, columns]);
  const multiply = makeMatmul(program, {
    ...{ rows, depth, columns, rowA: depth, rowB: columns, columnB: 1, rowOut: columns },
  });
  program.ledger.work('float', out.size * depth);
  program.step([a, b], [out], () => {
    for (let i = 0; i < count; i++)
      multiply(
        a.storage.at + 4 * i * rows * depth,
        b.storage.at + 4 * i * depth * columns,
        out.storage.at + 4 * i * rows * columns,
      );
  });
  return out;
}
