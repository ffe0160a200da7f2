// Products of rows with a matrix: dense layers and projections.
import { arrange, packCodes, unpackCodes } from '../export/arrange.js';
import type { Rows } from '../export/context.js';
import { BITS, scaleAxes } from '../export/stored.js';
import type { Dim, Val } from '../export/values.js';
import type { QuantizedTensor } from '../schemes/types.js';
import { sizeOf } from '../shape.js';
import type { Context } from './context.js';

/** Adds a product, and a bias where there is one. @returns `[..., columns]` */
export function addRows(c: Context, x: Val, p: Rows): Val {
  const { graph, weights } = c;
  const source = weights.infoOf(p.id).shape;
  const n = sizeOf(p.columns.map((axis) => source[axis] as number));
  const shape: Dim[] = [...x.shape.slice(0, -1), n];
  const bias = p.bias && graph.floats(`${p.name}/bias`, p.bias);
  const blocked = weights.storage === 'low-bit' ? weights.codesOf(p.id) : undefined;
  const direct = blocked && addBlocked(c, x, blocked, p, shape);
  if (direct) return bias ? graph.binary('Add', direct, bias) : direct;
  const factors = p.factors ? { factors: { axis: 1, values: p.factors } } : {};
  // ONNX Runtime computes a MatMul behind DequantizeLinear from activations of 8 bits.
  const matrix = weights.value(p.id, { axes: [p.rows, p.columns], ...pickOf(p), ...factors }, true);
  if (x.shape.length === 2 && bias) return graph.add('Gemm', [x, matrix, bias], { shape });
  const product = graph.add('MatMul', [x, matrix], { shape });
  return bias ? graph.binary('Add', product, bias) : product;
}

/** Rows of a block of MatMulNBits: a power of two from 16 to 256 in which no two scales meet. */
function blockSize(rows: number, groupRows: number): number | undefined {
  let size = 16;
  if (groupRows >= rows) {
    while (size < rows && size < 256) size *= 2;
    return size;
  }
  if (groupRows % 16 !== 0) return undefined;
  while (size < 256 && groupRows % (2 * size) === 0) size *= 2;
  return size;
}

/**
 * MatMulNBits of ONNX Runtime: unsigned codes `[N, blocks, bytes]` and a scale for each block. Levels are those of the codes exactly:
 * `u - 8` of 4 bits, `u - 1.5` of 2 with a zero point in float, and signs as 1 and 3 of 2 bits, less 2.
 */
function addBlocked(
  c: Context,
  x: Val,
  coded: QuantizedTensor,
  p: Rows,
  shape: readonly Dim[],
): Val | undefined {
  const { graph, weights } = c;
  const { layout, scales, codes } = coded;
  const axes = scaleAxes(coded);
  const source = coded.shape;
  const k = sizeOf(p.rows.map((axis) => source[axis] as number));
  const n = sizeOf(p.columns.map((axis) => source[axis] as number));
  const isWhole = axes?.length === 0;
  // Scales in the order of the columns, for so many rows each.
  const isMatrix =
    layout.inner === 1 && layout.channels === n && layout.outer === k && isInRow([...p.rows, ...p.columns]);
  if (!isWhole && !isMatrix) return undefined;
  const groupRows = isWhole ? k : Math.min(layout.groupRows, k);
  const size = blockSize(k, groupRows);
  if (size === undefined) return undefined;
  weights.coded.set(p.id, coded);
  const bits = BITS[coded.coding.scheme];
  const stored = bits === 4 ? 4 : 2;
  const blocks = Math.ceil(k / size);
  const length = (n * blocks * size * stored) / 8;
  const offset = bits === 4 ? 8 : 2;
  const bytes = () => {
    const turned = arrange(unpackCodes(codes, bits, sizeOf(source)), source, {
      axes: [p.columns, p.rows],
      ...pickOf(p),
    });
    const out = new Uint8Array(n * blocks * size);
    for (let column = 0; column < n; column++)
      for (let row = 0; row < k; row++) {
        const code = turned[column * k + row] as number;
        const mask = 2 * offset - 1;
        out[column * blocks * size + row] = bits === 1 ? 2 * code + 1 : (code + offset) & mask;
      }
    return packCodes(out, stored);
  };
  const { scope } = graph;
  graph.scope = p.id;
  const packed = graph.stored(p.id, 'uint8', [n, blocks, (size * stored) / 8], { length, bytes });
  const perBlock = new Float32Array(n * blocks);
  for (let column = 0; column < n; column++)
    for (let b = 0; b < blocks; b++) {
      const group = Math.floor((b * size) / groupRows);
      const scale = scales[isWhole ? 0 : group * n + column] as number;
      perBlock[column * blocks + b] = scale * (p.factors?.[column] ?? 1);
    }
  const scale = graph.floats(`${p.id}/scale`, perBlock, [n, blocks]);
  const zero =
    bits === 2
      ? graph.floats(`${p.id}/zero`, new Float32Array(n * blocks).fill(1.5), [n, blocks])
      : undefined;
  graph.scope = scope;
  return graph.add(
    'MatMulNBits',
    [x, packed, scale, zero],
    { shape },
    { K: k, N: n, bits: stored, block_size: size, accuracy_level: 1 },
    'com.microsoft',
  );
}

const pickOf = ({ rows, rowOrder }: Rows) =>
  rowOrder ? { pick: { axis: rows[0] as number, places: rowOrder } } : {};

const isInRow = (axes: readonly number[]) => axes.every((axis, i) => axis === i);
