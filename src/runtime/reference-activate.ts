import { ACTIVATIONS, type ActivationKind } from './functions.js';
import { COMBINATIONS, type CombinationKind } from './record.js';
import { clamp, erf, exp, expm1, log, nearest, sigmoid, smaller, softplus, tanh } from './reference-math.js';
import type { ReferenceMemory } from './reference-memory.js';
import type { Kernels } from './types.js';

const { fround, abs } = Math;

type Activation = (x: number, a: number, b: number, c: number) => number;

/** The functions of `activate`, for one float32 and parameters of float32. */
export const activations: Readonly<Record<ActivationKind, Activation>> = {
  clamp: (x, a, b) => clamp(x, a, b),
  relu: (x, a, b, c) => smaller(x >= b ? x : fround(a * fround(x - b)), c),
  elu: (x, a, b, c) => fround(b * (x > 0 ? x : fround(a * expm1(fround(c * x))))),
  sigmoid,
  tanh,
  softplus,
  softsign: (x) => fround(x / fround(1 + abs(x))),
  silu: (x) => fround(x * sigmoid(x)),
  gelu: (x) => fround(fround(0.5 * x) * fround(1 + erf(fround(x * fround(Math.SQRT1_2))))),
  gelu_tanh: (x) => {
    const cube = fround(fround(x * x) * x);
    const t = fround(fround(0.79788456) * fround(x + fround(fround(0.044715) * cube)));
    return fround(fround(0.5 * x) * fround(1 + tanh(t)));
  },
  hard_sigmoid: (x, a, b) => clamp(fround(fround(a * x) + b), 0, 1),
  hard_silu: (x, a, b) => fround(x * clamp(fround(fround(a * x) + b), 0, 1)),
  exponential: exp,
  mish: (x) => fround(x * tanh(softplus(x))),
  log_sigmoid: (x) => -softplus(-x),
  abs,
  square: (x) => fround(x * x),
  sqrt: (x) => fround(Math.sqrt(x)),
  rsqrt: (x) => fround(1 / fround(Math.sqrt(x))),
  log,
  linear: (x, a, b) => fround(fround(a * x) + b),
  tanh_shrink: (x) => fround(x - tanh(x)),
  negative: (x) => -x,
  reciprocal: (x) => fround(1 / x),
  sign: (x) => (x > 0 ? 1 : x < 0 ? -1 : x),
  floor: Math.floor,
  ceil: Math.ceil,
  round: nearest,
  expm1,
  erf,
  hard_shrink: (x, a) => (abs(x) > a ? x : 0),
  soft_shrink: (x, a) => (x > a ? fround(x - a) : x < -a ? fround(x + a) : 0),
  squareplus: (x, a) => fround(0.5 * fround(x + fround(Math.sqrt(fround(fround(x * x) + a))))),
  threshold: (x, a, b) => (x > a ? x : b),
  sparse_plus: (x) => {
    const t = fround(x + 1);
    return x <= -1 ? 0 : x >= 1 ? x : fround(fround(t * t) * 0.25);
  },
  truth: (x) => (x !== 0 ? 1 : 0),
};

const combinations: Readonly<Record<CombinationKind, (x: number, y: number) => number>> = {
  add: (x, y) => fround(x + y),
  subtract: (x, y) => fround(x - y),
  multiply: (x, y) => fround(x * y),
  divide: (x, y) => fround(x / y),
  maximum: Math.max,
  minimum: Math.min,
  prelu: (x, y) => (x < 0 ? fround(x * y) : x),
  greater: (x, y) => (x > y ? 1 : 0),
  greater_equal: (x, y) => (x >= y ? 1 : 0),
  equal: (x, y) => (x === y ? 1 : 0),
  not_equal: (x, y) => (x !== y ? 1 : 0),
  keep: (x, y) => (y !== 0 ? x : 0),
};

/** Sum of values in four lanes, lane l those at l, l + 4, ...; then (0 + 1) + (2 + 3). */
function laneSum(values: readonly number[]): number {
  const lanes = [0, 0, 0, 0];
  values.forEach((value, i) => {
    lanes[i & 3] = fround((lanes[i & 3] as number) + value);
  });
  const [a, b, c, d] = lanes as [number, number, number, number];
  return fround(fround(a + b) + fround(c + d));
}

/** Functions of elements and rows: plain loops that define the bits. */
export function functionKernels(memory: ReferenceMemory) {
  const row = (x: number, n: number) => Array.from({ length: n }, (_, i) => memory.float(x + 4 * i));
  return {
    activate(x, n, kind, a, b, c, out) {
      const f = activations[ACTIVATIONS[kind] ?? 'truth'];
      for (let i = 0; i < n; i++)
        memory.setFloat(out + 4 * i, f(memory.float(x + 4 * i), fround(a), fround(b), fround(c)));
    },
    softmax(x, rows, n, isLog, out) {
      for (let r = 0; r < rows; r++) {
        const values = row(x + 4 * r * n, n);
        const most = Math.max(...values);
        const differences = values.map((v) => fround(v - most));
        const exponentials = differences.map(exp);
        const sum = laneSum(exponentials);
        const last = isLog ? log(sum) : sum;
        for (let i = 0; i < n; i++) {
          const e = exponentials[i] as number;
          const d = differences[i] as number;
          memory.setFloat(out + 4 * (r * n + i), isLog ? fround(d - last) : fround(e / last));
        }
      }
    },
    normalize(x, rows, n, gamma, beta, epsilon, isCentered, out) {
      for (let r = 0; r < rows; r++) {
        const values = row(x + 4 * r * n, n);
        const mean = isCentered ? fround(laneSum(values) / n) : 0;
        const differences = values.map((v) => fround(v - mean));
        const variance = fround(laneSum(differences.map((d) => fround(d * d))) / n);
        const scale = fround(1 / fround(Math.sqrt(fround(variance + fround(epsilon)))));
        differences.forEach((d, i) => {
          const value = fround(fround(d * scale) * memory.float(gamma + 4 * i));
          memory.setFloat(out + 4 * (r * n + i), fround(value + memory.float(beta + 4 * i)));
        });
      }
    },
    combine(x, y, n, period, kind, out) {
      const f = combinations[COMBINATIONS[kind] ?? 'keep'];
      for (let i = 0; i < n; i++)
        memory.setFloat(out + 4 * i, f(memory.float(x + 4 * i), memory.float(y + 4 * (i % period))));
    },
  } satisfies Partial<Kernels>;
}
