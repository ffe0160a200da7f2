import { type Build, type Context, numberOf, refuse, roundUp } from './context.js';
import { rowsLayer } from './layers-products.js';
import { addConvolution } from './product.js';
import type { Program, Tensor } from './program.js';
import { ACTIVATIONS } from './record.js';

const LINEAR = ACTIVATIONS.indexOf('linear');

/** A product of two tensors: floats `rowA` apart from row to row; b's `rowB` and `columnB` apart. */
interface Matmul {
  readonly rows: number;
  readonly depth: number;
  readonly columns: number;
  readonly rowA: number;
  readonly rowB: number;
  readonly columnB: number;
  readonly rowOut: number;
}

/** A product of two matrices in float32, one of which becomes panels in each call. */
function makeMatmul(program: Program, m: Matmul): (a: number, b: number, out: number) => void {
  const { rows, depth, columns, rowA, rowB, columnB, rowOut } = m;
  program.room('panel', 4 * depth * roundUp(columns, 8));
  const bias = program.put(new Float32Array(roundUp(columns, 8)));
  const table = program.table([[0, depth, 0]]);
  const record = program.record(() => ({
    ...{ ...table, panels: program.roomAt('panel'), panelBytes: 32 * depth, columns, bias },
    ...{ width: rows, pixels: rows, strideRow: 0, stridePixel: 4 * rowA, outPitch: 4 * rowOut },
  }));
  const slot = program.slot();
  const { kernels } = program;
  return (a, b, out) => {
    kernels.packPanels(b, depth, columns, 4 * rowB, 4 * columnB, program.roomAt('panel'));
    kernels.convolveFloat(record, a, out, slot);
  };
}

interface Heads {
  readonly count: number;
  readonly keyDim: number;
  readonly valueDim: number;
  readonly scale: number;
  readonly isCausal: boolean;
}

/**
 * `softmax(scale q k') v` of each head: q `[time, count keyDim]`, k and v likewise.
 *
 * @returns outputs `[time, count valueDim]` and the weights of the values `[count, time, keys]`
 */
function addAttention(program: Program, q: Tensor, k: Tensor, v: Tensor, heads: Heads): [Tensor, Tensor] {
  const { count, keyDim, valueDim, scale, isCausal } = heads;
  const [time, keys] = [q.shape[0] as number, k.shape[0] as number];
  const scores = program.tensor([count, time, keys]);
  const out = program.tensor([time, count * valueDim]);
  const [wideK, wideV] = [count * keyDim, count * valueDim];
  const toScores = makeMatmul(program, {
    ...{ rows: time, depth: keyDim, columns: keys, rowA: wideK, rowB: 1, columnB: wideK, rowOut: keys },
  });
  const toOut = makeMatmul(program, {
    ...{ rows: time, depth: keys, columns: valueDim, rowA: keys, rowB: wideV, columnB: 1, rowOut: wideV },
  });
  program.step([q, k, v], [scores, out], () => {
    const { kernels } = program;
    for (let head = 0; head < count; head++) {
      const s = scores.storage.at + 4 * head * time * keys;
      toScores(q.storage.at + 4 * head * keyDim, k.storage.at + 4 * head * keyDim, s);
      kernels.activate(s, time * keys, LINEAR, scale, 0, 0, s);
      // What comes after a row's own time is not seen.
      for (let t = 0; isCausal && t + 1 < keys && t < time; t++)
        kernels.fill(s + 4 * (t * keys + t + 1), keys - t - 1, -Infinity);
      kernels.softmax(s, time, keys, 0, s);
      toOut(s, v.storage.at + 4 * head * valueDim, out.storage.at + 4 * head * valueDim);
    }
  });
  return [out, scores];
}

/** Query, value and key; key is the value where it is not given. */
function inputsOf(c: Context): readonly [query: Tensor, value: Tensor, key: Tensor] {
  const { roles } = c.node;
  if (roles.some((role) => !['query', 'value', 'key'].includes(role))) refuse(`inputs: ${roles.join(', ')}`);
  const of = (role: string) => c.inputs[roles.indexOf(role)];
  const [query, value] = [of('query') as Tensor, of('value') as Tensor];
  const all = [query, value, of('key') ?? value] as const;
  if (all.some((tensor) => tensor.shape.length !== 2)) refuse('attention over more than one axis');
  return all;
}

const isCausal = (c: Context) => c.attributes.use_causal_mask === true || c.attributes.causal === true;

const multiHead: Build = (c) => {
  const { attributes: a, program } = c;
  const [query, value, key] = inputsOf(c);
  const count = numberOf(a.num_heads);
  const keyDim = numberOf(a.key_dim);
  const valueDim = numberOf(a.value_dim ?? a.key_dim);
  const project = (x: Tensor, role: string, columns: number): Tensor => {
    const [rows, channels] = x.shape as [number, number];
    const values = () => c.values(`${role}/kernel`) as Float32Array;
    const layer = rowsLayer(
      ...([`${c.node.layer}/${role}`, rows, channels, columns, c.weight(`${role}/kernel`), values] as const),
      { bias: c.values(`${role}/bias`) },
    );
    return program.view(addConvolution(program, x, layer, c.options), [rows, columns]);
  };
  const q = project(query, 'query', count * keyDim);
  const k = project(key, 'key', count * keyDim);
  const v = project(value, 'value', count * valueDim);
  const scale = 1 / Math.sqrt(keyDim);
  const [out, scores] = addAttention(program, q, k, v, {
    count,
    keyDim,
    valueDim,
    scale,
    isCausal: isCausal(c),
  });
  const own = Array.isArray(a.output_shape) ? a.output_shape[0] : a.output_shape;
  const width = typeof own === 'number' ? own : (query.shape[1] as number);
  const result = project(out, 'attention_output', width);
  return a.return_attention_scores === true ? [result, scores] : [result];
};

const attention: Build = (c) => {
  const [query, value, key] = inputsOf(c);
  const scale = c.attributes.use_scale === true ? (c.values('scale')?.[0] as number) : 1;
  const [keyDim, valueDim] = [key.shape[1] as number, value.shape[1] as number];
  const heads = { count: 1, keyDim, valueDim, scale, isCausal: isCausal(c) };
  const [out, scores] = addAttention(c.program, query, key, value, heads);
  if (c.attributes.return_attention_scores !== true) return [out];
  return [out, c.program.view(scores, scores.shape.slice(1))];
};

/** Attention of sequences. */
export const ATTENTION: Readonly<Record<string, Build>> = {
  MultiHeadAttention: multiHead,
  Attention: attention,
};
