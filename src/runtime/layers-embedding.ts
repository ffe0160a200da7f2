import { type Build, numberOf } from './context.js';
import type { Program, Tensor } from './program.js';
import { isCoded, type Weight } from './weights.js';

const embedding: Build = (c) => {
  const { program } = c;
  const [x] = c.inputs as [Tensor];
  const rows = numberOf(c.attributes.input_dim);
  const n = numberOf(c.attributes.output_dim);
  const weight = c.weight('embeddings');
  const out = program.tensor([...x.shape, n]);
  const look = isCoded(weight) ? codedRows(program, weight, rows, n) : undefined;
  const values = () => program.put(c.values('embeddings') as Float32Array);
  const table = look ? 0 : program.once(weight, 'rows', values);
  const one = (row: number, to: number) => {
    if (look) look(row, to);
    else program.kernels.move(table + 4 * n * row, to, 1, 1, 1, 4 * n, 0, 0, 0, 0, 0, 0);
  };
  program.step([x], [out], () => {
    for (let i = 0; i < x.size; i++) {
      const row = program.floats[(x.storage.at >> 2) + i] as number;
      if (!(row >= 0 && row < rows && Number.isInteger(row)))
        throw new RangeError(`"${c.node.layer}" expected integers from 0 to ${rows - 1}, got ${row}`);
      one(row, out.storage.at + 4 * n * i);
    }
  });
  return [out];
};

/** Rows of packed codes with one scale each, or one for all; undefined where scales lie otherwise. */
function codedRows(program: Program, weight: Weight, rows: number, n: number) {
  if (!isCoded(weight)) return undefined;
  const { bits, codes, scales, layout } = weight;
  const isWhole = layout.channels === 1 && layout.groupRows >= rows * n;
  const isRow = layout.channels === rows && layout.inner === n && layout.outer === 1 && layout.groupRows >= n;
  if (!isWhole && !isRow) return undefined;
  const at = program.once(weight, 'codes', () => program.put(codes));
  const unit = bits === 2 ? 0.5 : 1;
  return (row: number, to: number) => {
    const scale = (scales[isWhole ? 0 : row] as number) * unit;
    program.kernels.decodeRow(at, bits, row * n, n, scale, to);
  };
}

/** Rows of a table by their numbers. */
export const EMBEDDINGS: Readonly<Record<string, Build>> = { Embedding: embedding };
