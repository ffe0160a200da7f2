import type { Kernels } from '../../kernels/types.js';
import type { WeightInfo } from '../../model.js';
import { codingOf, dequantizeTensor, quantizeTensor } from '../../schemes/quantize.js';
import type { CallData, LayerFit, LayerPlan, Variable } from './types.js';

/**
 * An Embedding's table `[rows, width]`, scales per row or per group in a row. A row is an output as it is, `count` times on
 * the samples, so the error of its block is `count * sum (w - q)^2`: however often it is read, the least-squares scale and
 * the nearest levels are the best. Counts decide the share of variance that is reported:
 *
 *     error = sum_r count_r |w_r - q_r|^2 / sum_r count_r |w_r - mean|^2,   mean weighted likewise
 *
 * Rows that no sample reads get the same scales, and count as dead inputs.
 */
export function fitTable(
  kernels: Kernels,
  plan: LayerPlan,
  table: WeightInfo,
  data: readonly CallData[],
  read: (variables: ReadonlyMap<string, Variable>, id: string) => Float32Array,
  write: (id: string, values: Float32Array) => void,
): LayerFit {
  const { id, shape } = table;
  const [rows, width] = shape as [number, number];
  const counts = countsOf(data, rows);
  const chosen = plan.options.get(id) as NonNullable<ReturnType<typeof plan.options.get>>;
  const values = read(plan.exact, id);
  const coding = codingOf({ ...chosen, scale: 'lsq' }, shape.length, id);
  const tensor = quantizeTensor(kernels, values, shape, { ...chosen, scale: coding.scale }, id);
  const decoded = dequantizeTensor(kernels, tensor);
  write(id, decoded);
  const positions = counts.reduce((sum, count) => sum + count, 0);
  const mean = new Float64Array(width);
  for (let at = 0; at < values.length; at++) {
    const share = (counts[Math.floor(at / width)] as number) / positions;
    mean[at % width] = (mean[at % width] as number) + share * (values[at] as number);
  }
  let lost = 0;
  let total = 0;
  for (let at = 0; at < values.length; at++) {
    const count = counts[Math.floor(at / width)] as number;
    const w = values[at] as number;
    lost += count * (w - (decoded[at] as number)) ** 2;
    total += count * (w - (mean[at % width] as number)) ** 2;
  }
  const deadInputs = counts.filter((count) => count === 0).length;
  const error = total > 0 ? lost / total : 0;
  return {
    tensors: new Map([[id, { tensor, error, inputs: rows, deadInputs, positions }]]),
    biases: new Map(),
  };
}

/** How often each row of a table is read. */
export function countsOf(data: readonly CallData[], rows: number): Float64Array {
  const counts = new Float64Array(rows);
  for (const [ids] of data)
    for (const batch of ids?.quantized ?? [])
      for (const id of batch.dataSync()) counts[id] = (counts[id] as number) + 1;
  return counts;
}
