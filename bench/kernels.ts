// Speed of the kernels: GB/s of float32 read (or written), and ratios to memory, plain JavaScript and NumPy.
//
//   node --import tsx bench/kernels.ts [--quick] [--json]
//
// Cases are measured in turn, several rounds of them, so that a noisy minute hits all alike: a ratio is the median of
// the ratios of the rounds, a speed the median of all samples. Exits with 1 if benchmark.js recorded an error.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Benchmark from 'benchmark';
import { type Case, makeCases, SET, type Size, SUM } from './kernels-cases.js';

const quick = process.argv.includes('--quick');
const json = process.argv.includes('--json');

const SIZES: readonly Size[] = quick
  ? [{ name: '144 Ki', count: 1, rows: 1152, columns: 128 }]
  : [
      { name: '1 Mi', count: 7, rows: 1152, columns: 128 },
      { name: '64 Mi', count: 1, rows: 8192, columns: 8192 },
    ];
const ROUNDS = quick ? 1 : 5;
const SECONDS = quick ? 0.05 : 0.4;

interface Row {
  readonly name: string;
  readonly where: string;
  readonly bound: string;
  /** Seconds: the median of each round. */
  readonly rounds: number[];
  readonly samples: number[];
}

const errors: string[] = [];

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? Number.NaN;
}

function measure({ name, run }: Case, row: Row): void {
  const bench = new Benchmark(name, () => run(), { maxTime: SECONDS, minTime: SECONDS / 8, minSamples: 3 });
  bench.run();
  // benchmark.js throws nothing: an error is only recorded
  if (bench.error) errors.push(`${name}: ${String(bench.error)}`);
  const { sample } = bench.stats;
  row.rounds.push(median(sample));
  row.samples.push(...sample);
}

async function measureSize(size: Size): Promise<{ cases: Case[]; rows: Map<string, Row> }> {
  const cases = await makeCases(size);
  const rows = new Map<string, Row>();
  for (const c of cases) rows.set(keyOf(c), { ...c, rounds: [], samples: [] });
  for (let round = 0; round < ROUNDS; round++) {
    for (const c of cases) measure(c, rows.get(keyOf(c))!);
  }
  return { cases, rows };
}

const keyOf = (c: { readonly name: string }) => c.name;

/** How often faster `row` is than `other`, by rounds. */
function ratio(row: Row, other: Row): number {
  return median(row.rounds.map((seconds, round) => other.rounds[round]! / seconds));
}

interface Numpy {
  readonly numpy: string;
  readonly milliseconds: Readonly<Record<string, number>>;
}

/** Medians of NumPy, or why there are none. */
function numpy({ count, rows, columns }: Size): Numpy | string {
  const venv = join(homedir(), '.cache/bitnibble/venv/bin/python');
  const python = process.env.BITNIBBLE_PYTHON ?? (existsSync(venv) ? venv : 'python3');
  const script = fileURLToPath(new URL('./kernels-numpy.py', import.meta.url));
  const args = [script, ...[count, rows, columns, SECONDS * 2].map(String)];
  const { status, stdout, stderr, error } = spawnSync(python, args, { encoding: 'utf8' });
  if (status === 0) return JSON.parse(stdout) as Numpy;
  return `NumPy: not measured: ${error?.message ?? stderr.trim().split('\n').at(-1)} (${python})`;
}

const NUMPY_OF: Readonly<Record<string, string>> = {
  'sign per channel': 'sign per channel',
  'int4 per channel': 'int4 per channel',
  'int4 unpack per channel': 'int4 unpack per channel',
  [SUM]: 'sum',
  [SET]: 'copy',
};

function report(size: Size, cases: readonly Case[], rows: ReadonlyMap<string, Row>) {
  const bytes = 4 * size.count * size.rows * size.columns;
  const python = numpy(size);
  const lines = cases.map((c) => {
    const row = rows.get(keyOf(c))!;
    const job = NUMPY_OF[c.name];
    const milliseconds = typeof python === 'object' && job ? python.milliseconds[job] : undefined;
    return {
      name: c.name,
      where: c.where,
      gigabytesPerSecond: bytes / median(row.samples) / 1e9,
      toSum: ratio(row, rows.get(SUM)!),
      toSet: ratio(row, rows.get(SET)!),
      toNumpy: milliseconds === undefined ? undefined : milliseconds / 1000 / median(row.samples),
      floors: (c.floors ?? []).flatMap((floor) => {
        const least = size.name === '64 Mi' ? floor.large : size.name === '1 Mi' ? floor.small : undefined;
        return least === undefined
          ? []
          : [{ over: floor.over, least, got: ratio(row, rows.get(floor.over)!) }];
      }),
      bound: c.bound,
    };
  });
  return { size, lines, python };
}

type Report = ReturnType<typeof report>;

function print({ size, lines, python }: Report): void {
  const shape = `${size.count > 1 ? `${size.count} times ` : ''}[${size.rows}, ${size.columns}]`;
  console.log(`\n${size.name} weights, ${shape}: GB/s of float32; ratios in the same run`);
  let where = '';
  for (const line of lines) {
    if (line.where !== where) {
      where = line.where;
      console.log(`\n  ${where.padEnd(46)}   GB/s   / sum   / set  / NumPy`);
    }
    const numbers = [line.gigabytesPerSecond.toFixed(2), line.toSum.toFixed(2), line.toSet.toFixed(2)];
    const last = line.toNumpy === undefined ? '' : line.toNumpy.toFixed(1);
    console.log(`  ${line.name.padEnd(46)} ${[...numbers, last].map((n) => n.padStart(7)).join(' ')}`);
  }
  if (lines.some((line) => line.floors.length > 0)) console.log('\n  Floors');
  for (const line of lines) {
    for (const { over, least, got } of line.floors) {
      const mark = got >= least ? 'reached' : 'NOT reached';
      console.log(`  ${line.name.padEnd(46)} ${got.toFixed(2)} of ${least} times ${over}: ${mark}`);
    }
  }
  console.log('\n  Bounds');
  for (const line of lines) console.log(`  ${line.name.padEnd(46)} ${line.bound}`);
  console.log('');
  if (typeof python === 'string') console.log(`  ${python}`);
  else {
    const bytes = 4 * size.count * size.rows * size.columns;
    console.log(`  NumPy ${python.numpy}, GB/s`);
    for (const [job, milliseconds] of Object.entries(python.milliseconds)) {
      console.log(`  ${job.padEnd(46)} ${(bytes / milliseconds / 1e6).toFixed(2).padStart(7)}`);
    }
  }
}

const reports: Report[] = [];
for (const size of SIZES) {
  const { cases, rows } = await measureSize(size);
  reports.push(report(size, cases, rows));
  if (!json) print(reports.at(-1)!);
}
if (json)
  console.log(JSON.stringify({ node: process.version, arch: process.arch, reports, errors }, null, 2));
for (const error of errors) console.error(`benchmark.js: ${error}`);
process.exitCode = errors.length > 0 ? 1 : 0;
