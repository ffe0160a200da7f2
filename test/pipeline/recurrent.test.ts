// Moments of recurrent kernels, against states computed step by step in plain numbers.
import type { Rank, Tensor } from '@tensorflow/tfjs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { input, type SmallLayer } from './support.js';
import { assertMoments, layerOf, momentsFor, type Rows, tensorOf } from './twins.js';

const { tf } = await loadTensorFlow();

const [BATCH, TIME, FEATURES, UNITS] = [3, 4, 3, 2];
type Cell = 'SimpleRNN' | 'LSTM' | 'GRU';
const GATES: Readonly<Record<Cell, number>> = { SimpleRNN: 1, LSTM: 4, GRU: 3 };

interface Weights {
  readonly kernel: number[][];
  readonly recurrent: number[][];
  /** Of the inputs, and for a GRU with `reset_after` of the states. */
  readonly bias: number[][];
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
/** `x M` of one row. */
const times = (x: readonly number[], m: readonly (readonly number[])[]) =>
  (m[0] as number[]).map((_, c) => x.reduce((sum, v, i) => sum + v * (m[i]?.[c] as number), 0));
const columns = (m: readonly (readonly number[])[], from: number, to: number) =>
  m.map((row) => row.slice(from, to));

/** Rows of both kernels of one sample: inputs, and states before each step (three groups of them for a GRU). */
function walk(cell: Cell, isAfter: boolean, w: Weights, x: number[][], mask: number[], start: number[][]) {
  let [h, carry] = start as [number[], number[]];
  const rows: { x: number[]; states: number[][] }[] = [];
  for (const [step, own] of x.entries()) {
    const z = times(own, w.kernel).map((v, c) => v + (w.bias[0]?.[c] as number));
    const u = times(h, w.recurrent);
    let states = [h];
    let next: number[];
    let nextCarry = carry;
    const gate = (i: number, c: number) => (z[i * UNITS + c] as number) + (u[i * UNITS + c] as number);
    if (cell === 'SimpleRNN') next = h.map((_, c) => Math.tanh(gate(0, c)));
    else if (cell === 'LSTM') {
      nextCarry = carry.map((v, c) => sigmoid(gate(1, c)) * v + sigmoid(gate(0, c)) * Math.tanh(gate(2, c)));
      next = nextCarry.map((v, c) => sigmoid(gate(3, c)) * Math.tanh(v));
    } else {
      const inner = (i: number, c: number) => (isAfter ? (w.bias[1]?.[i * UNITS + c] as number) : 0);
      const update = h.map((_, c) => sigmoid(gate(0, c) + inner(0, c)));
      const reset = h.map((_, c) => sigmoid(gate(1, c) + inner(1, c)));
      const partial = h.map((v, c) => (reset[c] as number) * v);
      const last = isAfter
        ? h.map((_, c) => (reset[c] as number) * ((u[2 * UNITS + c] as number) + inner(2, c)))
        : times(partial, columns(w.recurrent, 2 * UNITS, 3 * UNITS));
      const candidate = h.map((_, c) => Math.tanh((z[2 * UNITS + c] as number) + (last[c] as number)));
      next = h.map(
        (v, c) => (update[c] as number) * v + (1 - (update[c] as number)) * (candidate[c] as number),
      );
      if (!isAfter) states = [h, h, partial];
    }
    if (mask[step] === 0) continue;
    rows.push({ x: own, states });
    h = next;
    carry = nextCarry;
  }
  return rows;
}

interface Variant {
  readonly cell: Cell;
  readonly isAfter?: boolean;
  readonly isBack?: boolean;
  readonly isMasked?: boolean;
  readonly noBias?: boolean;
  readonly isBoth?: boolean;
  /** The layer is given the states that it begins with. */
  readonly isStarted?: boolean;
}

const VARIANTS: readonly Variant[] = [
  { cell: 'SimpleRNN' },
  { cell: 'SimpleRNN', noBias: true, isMasked: true },
  { cell: 'LSTM' },
  { cell: 'LSTM', isBack: true },
  { cell: 'LSTM', isMasked: true },
  { cell: 'LSTM', isMasked: true, isBack: true },
  { cell: 'GRU' },
  { cell: 'GRU', isBack: true, isMasked: true },
  { cell: 'GRU', noBias: true },
  { cell: 'GRU', isAfter: true },
  { cell: 'GRU', isAfter: true, isMasked: true },
  { cell: 'LSTM', isBoth: true },
  { cell: 'GRU', isBoth: true },
  { cell: 'GRU', isBoth: true, isAfter: true, isMasked: true },
  { cell: 'LSTM', isStarted: true },
  { cell: 'GRU', isStarted: true, isBack: true },
  { cell: 'LSTM', isBoth: true, isStarted: true },
];

for (const variant of VARIANTS) {
  const { cell, isAfter = false, isBack = false, isMasked = false, noBias = false, isBoth = false } = variant;
  const { isStarted = false } = variant;
  test(`${Object.entries(variant).flat().join(' ')}: states as they are step by step`, async () => {
    const width = GATES[cell] * UNITS;
    const own = {
      ...{
        name: 'own',
        units: UNITS,
        activation: 'tanh',
        ...(cell === 'SimpleRNN' ? {} : { recurrent_activation: 'sigmoid' }),
        use_bias: !noBias,
      },
      ...{ return_sequences: true, go_backwards: isBack, reset_after: isAfter, dtype: 'float32' },
    };
    const one = {
      kernel: [FEATURES, width],
      recurrent_kernel: [UNITS, width],
      ...(noBias ? {} : { bias: cell === 'GRU' && isAfter ? [2, width] : [width] }),
    };
    const prefixed = (prefix: string) =>
      Object.fromEntries(Object.entries(one).map(([name, shape]) => [`${prefix}/${name}`, shape]));
    const perWay = cell === 'LSTM' ? 2 : 1;
    const starts = Array.from({ length: isStarted ? perWay * (isBoth ? 2 : 1) : 0 }, (_, i) => `start${i}`);
    const layer: SmallLayer = isBoth
      ? {
          className: 'Bidirectional',
          label: `Bidirectional/${cell}`,
          config: { name: 'layer', merge_mode: 'concat', layer: { class_name: cell, config: own } },
          weights: { ...prefixed('forward'), ...prefixed('backward') },
          calls: [['masking', ...starts]],
        }
      : { className: cell, config: { ...own, name: 'layer' }, weights: one, calls: [['masking', ...starts]] };
    const masking: SmallLayer = isMasked
      ? { className: 'Masking', config: { name: 'masking', mask_value: 0 }, calls: [['x']] }
      : { className: 'Activation', config: { name: 'masking', activation: 'linear' }, calls: [['x']] };
    const found = await layerOf(
      [input([TIME, FEATURES]), ...starts.map((name) => input([UNITS], name)), masking, layer],
      own,
      isStarted ? '2.15.0' : undefined,
    );
    const { plan } = found;
    if (typeof plan !== 'object') throw new Error(String(plan));
    const masks = Array.from({ length: BATCH }, (_, b) =>
      Array.from({ length: TIME }, (_, t) => (isMasked && (t >= 2 + b || (b === 2 && t === 1)) ? 0 : 1)),
    );
    const mask = tf.tensor2d(masks);
    const data = [5, 6].map((seed) =>
      tf.tidy(() => tf.mul(tensorOf([BATCH, TIME, FEATURES], seed), mask.expandDims(2))),
    );
    const [xf, xq] = data as [Tensor, Tensor];
    const given = starts.map((_, i) => [7, 8].map((seed) => tensorOf([BATCH, UNITS], seed + 10 * i)));
    const weightsOf = (which: 'model' | 'other', prefix: string): Weights => {
      const values = (name: string) => found[which].values.get(`layer/${prefix}${name}`);
      const matrix = (name: string, rows: number) =>
        Array.from({ length: rows }, (_, i) => [...(values(name) ?? []).slice(i * width, (i + 1) * width)]);
      const zeros = [Array<number>(width).fill(0), Array<number>(width).fill(0)];
      const bias = noBias ? zeros : matrix('bias', isAfter ? 2 : 1);
      return { kernel: matrix('kernel', FEATURES), recurrent: matrix('recurrent_kernel', UNITS), bias };
    };
    const ways = isBoth ? [false, true] : [isBack];
    assert.is(plan.linears.length, 2 * ways.length);
    for (const [way, backwards] of ways.entries()) {
      const prefix = isBoth ? (way === 0 ? 'forward/' : 'backward/') : '';
      const startOf = (b: number, which: 0 | 1) =>
        [0, 1].map((i) => {
          const pair = given[way * perWay + i];
          return pair && i < perWay ? (pair[which] as Tensor<Rank.R2>).arraySync()[b] : Array(UNITS).fill(0);
        }) as number[][];
      const stepsOf = (x: Tensor, w: Weights, which: 0 | 1) =>
        (x.arraySync() as number[][][]).flatMap((sample, b) => {
          const turn = <T>(list: T[]) => (backwards ? [...list].reverse() : list);
          return walk(cell, isAfter, w, turn(sample), turn(masks[b] as number[]), startOf(b, which));
        });
      const exact = weightsOf('model', prefix);
      const float = stepsOf(xf, exact, 0);
      const quantized = stepsOf(xq, weightsOf('other', prefix), 1);
      const inputs = [data, ...given, ...(isMasked ? [[mask, mask]] : [])];
      const taken = (which: 0 | 1) => inputs.map((pair) => pair[which] as Tensor);
      const [first] = await momentsFor(plan, 2 * way, taken(0), taken(1));
      if (!first) throw new Error('moments');
      const byInput: Rows = {
        x: quantized.map(({ x }) => x),
        t: float.map(({ x }) => times(x, exact.kernel)),
      };
      assertMoments(first, byInput, 'kernel');
      const groups = await momentsFor(plan, 2 * way + 1, taken(0), taken(1));
      assert.is(groups.length, cell === 'GRU' && !isAfter ? 3 : 1);
      for (const [group, moments] of groups.entries()) {
        const span = width / groups.length;
        const part = columns(exact.recurrent, group * span, (group + 1) * span);
        const byState: Rows = {
          x: quantized.map(({ states }) => states[group] as number[]),
          t: float.map(({ states }) => times(states[group] as number[], part)),
        };
        assertMoments(moments, byState, `recurrent kernel, group ${group}`);
      }
    }
    tf.dispose([xf, xq, mask, ...given.flat()]);
    found.dispose();
  });
}

test.run();
