// Speed of the runtime: its tile against the same instructions in C, each kind of product, and a whole network.
//
//   npm run bench:runtime -- [--quick] [model.h5 | model.keras]
//
// Medians of runs that alternate; the best run behind them, for machines that others use as well. A model is quantized to int4,
// one scale per channel, and fed with numbers from 0 to 1.

import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import { table } from '../src/cli/table.js';
import { loadKernels } from '../src/kernels/index.js';
import { openKeras } from '../src/node/models.js';
import { quantizeModel } from '../src/pipeline/quantize.js';
import { loadRuntimeKernels } from '../src/runtime/kernels.js';
import { type Convolution, makeConvolution, makeDepthwise } from '../src/runtime/product.js';
import { Program } from '../src/runtime/program.js';

const quick = process.argv.includes('--quick');
const ROUNDS = quick ? 15 : 101;
const file = process.argv.slice(2).find((argument) => !argument.startsWith('--'));
const root = path.resolve(import.meta.dirname ?? '.', '..');

let state = 1;
const random = () => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 2 ** 32;
};

const sorted = (values: readonly number[]) => [...values].sort((a, b) => a - b);
const median = (values: readonly number[]) => sorted(values)[values.length >> 1] as number;

/** Seconds of each job, all in turn, `rounds` times. */
function alternate(jobs: readonly (() => void)[], rounds: number): { median: number; best: number }[] {
  const times = jobs.map(() => [] as number[]);
  for (let round = 0; round < rounds + 3; round++)
    jobs.forEach((job, i) => {
      const start = performance.now();
      job();
      if (round >= 3) times[i]?.push((performance.now() - start) / 1000);
    });
  return times.map((all) => ({ median: median(all), best: sorted(all)[0] as number }));
}

const giga = (work: number, seconds: number) => (work / seconds / 1e9).toFixed(1);

/** 10^9 multiply-adds a second of bench/runtime-peak.c: the median and the best of several. */
function peak(rows: number, depth: number): { median: number; best: number } | string {
  const binary = path.join(root, 'build', 'runtime-peak');
  const built = spawnSync('gcc', ['-O3', '-mavx2', path.join(root, 'bench/runtime-peak.c'), '-o', binary], {
    encoding: 'utf8',
  });
  if (built.error) return 'there is no gcc';
  if (built.status !== 0) return `gcc failed: ${built.stderr}`;
  const runs = Array.from({ length: quick ? 3 : 9 }, () => {
    const { stdout } = spawnSync(binary, [rows, depth, quick ? 5 : 15].map(String), { encoding: 'utf8' });
    return stdout.split(' ').map(Number) as [median: number, best: number];
  });
  return { median: median(runs.map(([middle]) => middle)), best: Math.max(...runs.map(([, best]) => best)) };
}

interface Case {
  readonly name: string;
  readonly work: number;
  readonly run: () => void;
}

/** A layer with weights of its own on an input from 0 to 1. */
async function layerCase(name: string, layer: Omit<Convolution, 'name' | 'values' | 'weight'>, bits: 4 | 32) {
  const { image, kernel, columns, groups, out } = layer;
  const program = new Program(await loadRuntimeKernels());
  const x = program.tensor(image);
  const y = program.tensor([...out, columns]);
  const isDepthwise = groups === image[2] && groups > 1;
  const rows = (kernel[0] * kernel[1] * image[2]) / groups;
  const codes = Uint8Array.from({ length: Math.ceil((rows * columns) / 2) }, () => random() * 256);
  const scales = new Float32Array(columns).fill(0.01);
  const values = () => Float32Array.from({ length: rows * columns }, () => random() - 0.5);
  const weight = {
    bits: 4 as const,
    codes,
    scales,
    layout: { outer: rows, channels: columns, inner: 1, groupRows: rows },
  };
  const full: Convolution = { ...layer, name, values, weight: bits === 4 ? weight : new Float32Array(0) };
  const products = isDepthwise
    ? [makeDepthwise(program, full)]
    : [
        makeConvolution(program, full, { weights: 'decoded' }),
        makeConvolution(program, full, { weights: 'packed' }),
      ];
  const slot = program.slot();
  const own = program.slot();
  program.step([x], [y], () => program.kernels.range(x.storage.at, x.size, slot));
  program.finish([x], [y]);
  for (let i = 0; i < x.size; i++) program.floats[(x.storage.at >> 2) + i] = random();
  program.run();
  const work = out[0] * out[1] * rows * columns;
  const repeats = Math.max(1, Math.round(2e7 / work));
  return products.slice(0, bits === 32 ? 1 : 2).map(
    (product, i): Case => ({
      name: `${name}, ${product.kind}${bits === 32 || isDepthwise ? '' : i === 0 ? ', decoded once' : ', packed'}`,
      work: work * repeats,
      run: () => {
        for (let r = 0; r < repeats; r++) product.run(x.storage.at, slot, y.storage.at, own);
      },
    }),
  );
}

function square(size: number, channels: number, columns: number, k: number, groups = 1) {
  const pad = k >> 1;
  return {
    ...{ image: [size, size, channels] as const, kernel: [k, k] as const, strides: [1, 1] as const },
    ...{ dilations: [1, 1] as const, top: pad, left: pad, out: [size, size] as const, groups, columns },
    ...{ low: 0, high: Number.POSITIVE_INFINITY },
  };
}

/** A product of matrices: staging and scales are a small part of it, the tile nearly all. */
async function tileCase(rows: number, depth: number, columns: number): Promise<Case> {
  const [product] = await layerCase(
    'tile',
    { ...square(1, depth, columns, 1), image: [1, rows, depth], out: [1, rows] },
    4,
  );
  return product as Case;
}

const TILE = [64, 1152] as const;
const COLUMNS = 256;
const tile = await tileCase(...TILE, COLUMNS);
const c = peak(...TILE);
const [time] = alternate([tile.run], ROUNDS) as [{ median: number; best: number }];
console.log(
  `tiles of 4 x 8, ${TILE[0]} rows, ${TILE[1]} deep, ${COLUMNS} columns, with staging and scales: ${giga(tile.work, time.median)} (best ${giga(tile.work, time.best)}) 10^9 multiply-adds/s`,
);
console.log(
  typeof c === 'string'
    ? `the tile in C: not measured, ${c}`
    : `the tile in C, gcc -O3 -mavx2: ${c.median} (best ${c.best}); ${(tile.work / time.best / 1e9 / c.best).toFixed(2)} of it by the best runs`,
);

const cases = [
  ...(await layerCase('3 x 3, 32 to 32 at 32 x 32', square(32, 32, 32, 3), 4)),
  ...(await layerCase('3 x 3, 80 to 80 at 16 x 16', square(16, 80, 80, 3), 4)),
  ...(await layerCase('3 x 3, 128 to 128 at 8 x 8', square(8, 128, 128, 3), 4)),
  ...(await layerCase('1 x 1, 64 to 128 at 16 x 16', square(16, 64, 128, 1), 4)),
  ...(await layerCase('5 x 5, 32 to 32 at 16 x 16', square(16, 32, 32, 5), 4)),
  ...(await layerCase('dense, 1024 to 512', { ...square(1, 1024, 512, 1) }, 4)),
  ...(await layerCase('1 x 1, 64 to 128 at 16 x 16, float32', square(16, 64, 128, 1), 32)),
  ...(await layerCase('3 x 3 depthwise, 128 at 16 x 16', square(16, 128, 128, 3, 128), 32)),
];
const times = alternate(
  cases.map(({ run }) => run),
  quick ? 5 : 31,
);
console.log(
  table(
    ['Layer', '10^9 multiply-adds/s', 'Best'],
    cases.map(({ name, work }, i) => [name, giga(work, times[i]!.median), giga(work, times[i]!.best)]),
  ),
);

if (file) {
  const { loadNetwork } = await import('../src/runtime/index.js');
  const kernels = await loadKernels();
  const recipe = { default: { scheme: 'int4', granularity: 'channel', scale: 'absmax' } } as const;
  const { model } = quantizeModel(await openKeras(file), recipe, { kernels });
  const networks = [await loadNetwork(model), await loadNetwork(model, { weights: 'packed' })] as const;
  const inputs = Object.fromEntries(
    networks[0].inputs.map(({ name, shape }) => [
      name,
      Float32Array.from({ length: shape.reduce((n, d) => n * d, 1) }, random),
    ]),
  );
  const rows = alternate(
    networks.map((network) => () => void network.run(inputs)),
    ROUNDS,
  );
  const label = ['decoded once', 'packed'];
  console.log(
    table(
      [
        `${path.basename(file)}, int4, one sample`,
        'ms',
        'Best',
        'Weights in memory, KB',
        'Tensors and rooms, KB',
      ],
      rows.map((own, i) => {
        const { weights, rooms, tensors } = networks[i]!.summary().bytes;
        return [
          ...[label[i] as string, (1000 * own.median).toFixed(2), (1000 * own.best).toFixed(2)],
          ...[(weights / 1e3).toFixed(0), ((rooms + tensors) / 1e3).toFixed(0)],
        ];
      }),
    ),
  );
}
