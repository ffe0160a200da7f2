// Tables of rows that are looked up: codes stay codes until the rows that are wanted have been taken out.
import { packCodes, packedLength, unpackCodes } from '../export/arrange.js';
import { BITS, scaleAxes } from '../export/stored.js';
import type { Val } from '../export/values.js';
import type { Context } from './context.js';

/** What is taken off a code that is stored without a sign, and what it is multiplied with before. */
const LEVELS = {
  int4: { factor: 1, less: 8 },
  int2: { factor: 1, less: 1.5 },
  binary: { factor: 2, less: 1 },
} as const;

/** Rows of a weight by their numbers: `[..., features]`. */
export function addRowsOf(c: Context, id: string, indices: Val): Val {
  const { graph, weights } = c;
  const coded = weights.storage === 'low-bit' ? weights.codesOf(id) : undefined;
  const axes = coded && scaleAxes(coded);
  const isWhole = axes?.length === 0;
  if (!coded || !axes || (!isWhole && (axes.length !== 1 || axes[0] !== 0)))
    return graph.gather(weights.value(id, undefined, true), indices, 0);
  weights.coded.set(id, coded);
  const [rows, features] = coded.shape as [number, number];
  const { scheme } = coded.coding;
  const bits = BITS[scheme];
  const bytes = packedLength(features, bits);
  const perByte = 8 / bits;
  const sign = bits === 1 ? 0 : 1 << (bits - 1);
  const length = rows * bytes;
  const pack = () => {
    const codes = unpackCodes(coded.codes, bits, rows * features);
    const wide = new Uint8Array(rows * bytes * perByte);
    // Without a sign the order of the codes is that of the levels.
    for (let row = 0; row < rows; row++)
      for (let i = 0; i < features; i++)
        wide[row * bytes * perByte + i] = (codes[row * features + i] as number) ^ sign;
    return packCodes(wide, bits);
  };
  const data = { length, bytes: pack };
  const table = graph.stored(id, 'uint8', [rows, bytes], data);
  const found = graph.gather(table, indices, 0);
  const shifts = graph.constant(
    'uint8',
    Array.from({ length: perByte }, (_, i) => i * bits),
  );
  const outer = indices.shape;
  const apart = { shape: [...outer, bytes, perByte] };
  const shifted = graph.add('BitShift', [graph.unsqueeze(found, [outer.length + 1]), shifts], apart, {
    direction: 'RIGHT',
  });
  const codes = graph.add('BitwiseAnd', [shifted, graph.constant('uint8', [(1 << bits) - 1], [])], apart);
  const floats = graph.cast(codes, 'float');
  const joined = graph.add('Reshape', [floats, graph.ints([...outer.map(() => 0), -1])], {
    shape: [...outer, bytes * perByte],
  });
  const axis = outer.length;
  const row =
    bytes * perByte === features
      ? joined
      : graph.slice(joined, [{ axis, start: 0, end: features, length: features }]);
  const { factor, less } = LEVELS[scheme];
  const levels = graph.binary('Sub', factor === 1 ? row : graph.binary('Mul', row, factor), less);
  const scales = graph.floats(`${id}/scale`, coded.scales, isWhole ? [] : [rows, 1]);
  return graph.binary('Mul', levels, isWhole ? scales : graph.gather(scales, indices, 0));
}
