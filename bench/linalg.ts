// Speed of what calibration is made of: billions of multiply-adds a second, as ratios to the same in plain JavaScript and to
// TensorFlow.js's native product, and fits of whole layers with their memory.
//
//   npm run bench:linalg -- [--quick]
//
// Medians of runs that alternate.

import { table } from '../src/cli/table.js';
import { type LinearAlgebra, loadLinearAlgebra } from '../src/kernels/linalg.js';
import { strideOf } from '../src/kernels/linalg-types.js';
import { loadTensorFlow } from '../src/node/tfjs.js';
import { nativeSums } from '../src/pipeline/calibrate/algebra.js';
import { emptyMoments, fitCalibrated } from '../src/schemes/fit/calibrated.js';
import { factorUpper, type Matrix, solveUpper } from '../src/schemes/fit/factor.js';
import { gptq } from '../src/schemes/fit/gptq.js';
import { GRIDS } from '../src/schemes/grids.js';

const quick = process.argv.includes('--quick');
const ROUNDS = quick ? 1 : 5;
const [K, N, ROWS] = quick ? [144, 32, 256] : [1152, 128, 512];

const simd = await loadLinearAlgebra();
const plain = await loadLinearAlgebra({ backend: 'reference' });
const { tf, backend } = await loadTensorFlow();
const native = backend === 'tensorflow' ? nativeSums(tf, simd) : undefined;

let state = 1;
const random = () => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 2 ** 31 - 1;
};
const floats = (n: number) => Float32Array.from({ length: n }, random);

const x = floats(ROWS * K);
const t = floats(ROWS * N);
const total = new Float64Array(K * K);
const cross = new Float64Array(K * N);
simd.addGram(total, x, ROWS, K);
for (let i = 0; i < K; i++) total[i * K + i] = (total[i * K + i] as number) + ROWS / 100;

interface Case {
  readonly name: string;
  readonly work: number;
  /** @returns what to time */
  prepare(algebra: LinearAlgebra): () => void;
  readonly hasNative?: boolean;
}

/** `H` and three matrices of N columns in a room. */
function layer(algebra: LinearAlgebra) {
  const [strideK, strideN] = [strideOf(K), strideOf(N)];
  const room = algebra.room(8 * K * (strideK + 3 * strideN) + 64);
  const matrix = (stride: number): Matrix => ({ values: room.float64(K * stride), stride });
  const [v, w, carried, lost] = [strideK, strideN, strideN, strideN].map(matrix) as [
    Matrix,
    Matrix,
    Matrix,
    Matrix,
  ];
  for (let i = 0; i < K; i++) v.values.set(total.subarray(i * K, (i + 1) * K), i * strideK);
  for (let at = 0; at < w.values.length; at++) w.values[at] = random();
  return { v, w, work: { carried, lost } };
}

const book = {
  grid: GRIDS.int4,
  groupOf: new Uint32Array(K),
  scales: new Float64Array(N).fill(0.2),
};
const cases: readonly Case[] = [
  {
    name: "X'X",
    work: (ROWS * K * K) / 2,
    prepare: (algebra) => () => algebra.addGram(new Float64Array(K * K), x, ROWS, K),
    hasNative: true,
  },
  {
    name: "X'T",
    work: ROWS * K * N,
    prepare: (algebra) => () => algebra.addCross(cross, x, t, ROWS, K, N),
    hasNative: true,
  },
  {
    name: 'Cholesky factor',
    work: K ** 3 / 6,
    prepare(algebra) {
      const { v } = layer(algebra);
      return () => factorUpper(algebra, v, K);
    },
  },
  {
    name: 'triangular solves',
    work: K * K * N,
    prepare(algebra) {
      const { v, w } = layer(algebra);
      factorUpper(algebra, v, K);
      return () => solveUpper(algebra, v, K, w, N);
    },
  },
  {
    name: 'GPTQ',
    work: (K * K * N) / 2,
    prepare(algebra) {
      const { v, w, work } = layer(algebra);
      factorUpper(algebra, v, K);
      return () => gptq(algebra, v, K, w, N, book, work);
    },
  },
];

const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[values.length >> 1] as number;

function seconds(run: () => void): number {
  const start = performance.now();
  run();
  return (performance.now() - start) / 1000;
}

console.log(`K = ${K}, N = ${N}, ${ROWS} rows; medians of ${ROUNDS}\n`);
const rows = cases.map(({ name, work, prepare, hasNative }) => {
  const algebras = [simd, plain, ...(native && hasNative ? [native] : [])];
  const times = algebras.map(() => [] as number[]);
  for (let round = 0; round < ROUNDS; round++)
    algebras.forEach((algebra, i) => {
      times[i]?.push(seconds(prepare(algebra)));
    });
  const [own, scalar, library] = times.map(median) as [number, number, number?];
  return [
    name,
    (work / own / 1e9).toFixed(2),
    `${(scalar / own).toFixed(1)}x`,
    library === undefined ? '' : (library / own).toFixed(2),
  ];
});
console.log(table(['Job', '10^9 multiply-adds/s', 'Plain JavaScript', 'Native, 1 = as fast'], rows));

// Whole layers: moments of random inputs, then the fit, by the kernels alone.
const sizes = quick
  ? [[288, 32]]
  : [
      [1152, 128],
      [4608, 512],
    ];
const fits = sizes.map(([k, n]) => {
  const [depth, width] = [k as number, n as number];
  const moments = emptyMoments(depth, width);
  const count = 1024;
  const [inputs, outputs] = [floats(count * depth), floats(count * width)];
  const sums = seconds(() => {
    simd.addGram(moments.gram, inputs, count, depth);
    simd.addCross(moments.cross, inputs, outputs, count, depth, width);
  });
  moments.rows = count;
  const weights = floats(depth * width);
  const fit = seconds(() => fitCalibrated(simd, moments, weights, 'binary', GRIDS.binary));
  return [
    `${depth} x ${width}`,
    sums.toFixed(2),
    fit.toFixed(1),
    ((20 * depth * depth + 24 * depth * width) / 1e6).toFixed(0),
    (process.resourceUsage().maxRSS / 1e3).toFixed(0),
  ];
});
console.log(
  table(['Layer', 'Sums of 1,024 rows, s', 'Fit, s', 'H and B, MB', 'Peak of the process, MB'], fits),
);
