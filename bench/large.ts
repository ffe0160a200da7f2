// Quantizing models of gigabytes: whole processes beside `cp` of the same file, and the largest memory that they take.
//   npm run bench:large [-- GIB ...]      default 1; files above 2 GiB are sparse, and only their memory is of interest
//   npm run bench:large -- --against FOLDER 1
//                                         another checkout, built, in turns with this one: how the medians compare
//   npm run bench:large -- --shards 64    sparse Keras weights in shards of 256 MiB, into packed shards of at most 1 GB
// h5py makes the files: $BITNIBBLE_PYTHON, or the environment of `node scripts/python-env.js`.
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { findPython } from '../scripts/lib/project.js';

const at = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { shards: { type: 'boolean' }, against: { type: 'string' } },
});
const sizes = positionals.map(Number);
if (sizes.some((size) => !(size >= 0.25 && size * 4 === Math.floor(size * 4))))
  throw new RangeError('sizes expected quarters of GiB, as 1 or 0.25');
const main = at('../dist/cli/main.js');
/** Command lines that are measured: this checkout's and, with --against, the other's. */
const builds =
  options.against === undefined ? [main] : [main, path.resolve(options.against, 'dist/cli/main.js')];
for (const build of builds) if (!existsSync(build)) throw new RangeError(`${build} expected: npm run build`);
/** With another checkout beside, ratios are wanted: they take more turns than times alone. */
const RUNS = builds.length === 1 ? 3 : 5;
/** How a model is stored, and what is made of it. */
const FORMS = [
  { what: '', file: 'in.h5', codings: ['int4, channel', 'int4, group', 'binary, channel'] },
  { what: 'in chunks of 128 x 128', file: 'in.h5', layout: 'chunked', codings: ['int4, channel'] },
  { what: 'as .keras', file: 'in.keras', codings: ['int4, channel'] },
] as const;

const folder = mkdtempSync(path.join(tmpdir(), 'bitnibble-large-'));
process.on('exit', () => rmSync(folder, { recursive: true }));
const [output, copy, took] = ['out.safetensors', 'copy.h5', 'took.json'].map((name) =>
  path.join(folder, name),
) as [string, string, string];

function run(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): number {
  const start = performance.now();
  const { status, stderr } = spawnSync(command, args, {
    env: { ...process.env, ...env },
    encoding: 'utf8',
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  if (status !== 0) throw new Error(`${command} ended with status ${status}: ${stderr}`);
  return (performance.now() - start) / 1000;
}

const measured = {
  BITNIBBLE_MEASURE: took,
  NODE_OPTIONS: `--import=${pathToFileURL(at('../test/support/measure.mjs')).href}`,
};
const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1] as number;

/** Weights in shards, quantized into shards: one scheme, whose output is the smallest. */
function benchShards(size: number): void {
  const [list, index] = ['in.weights.json', 'out.safetensors.index.json'].map((name) =>
    path.join(folder, name),
  ) as [string, string];
  run(findPython(), [at('large_model.py'), list, String(size * 4)]);
  const coding = ['--scheme', 'binary', '--shard-size', '1GB', '--quiet'];
  const args = [main, 'quantize', list, '-o', index, ...coding];
  const seconds = run(process.execPath, args, measured);
  const { megabytes } = JSON.parse(readFileSync(took, 'utf8')) as { megabytes: number };
  const shards = readdirSync(folder).filter((name) => /^out-.*\.safetensors$/.test(name)).length;
  process.stdout.write(
    `${size} GiB in ${size * 4} sparse shards: binary, channel, into ${shards} shards: ${seconds.toFixed(1)} s, ${megabytes.toFixed(0)} MB at most\n`,
  );
  for (const name of readdirSync(folder)) rmSync(path.join(folder, name));
}

/** What one process took: seconds on the clock and of the processor, and its largest memory. */
interface Took {
  readonly wall: number;
  readonly processor: number;
  readonly megabytes: number;
}

type Medians = Pick<Took, 'wall' | 'processor'> & { readonly memory: string };

/** One form of a model at each of its codings: seconds beside a copy, memory, and what another checkout takes. */
function benchForm(size: number, { what, file, codings, ...form }: (typeof FORMS)[number]): void {
  const input = path.join(folder, file);
  const isSparse = size > 2;
  const layout = isSparse ? ['sparse'] : 'layout' in form ? [form.layout] : [];
  run(findPython(), [at('large_model.py'), input, String(size * 4), ...layout]);
  const copies: number[] = [];
  const rows = codings.map(() => builds.map((): Took[] => []));
  for (let turn = 0; turn < (isSparse ? 1 : RUNS); turn++) {
    for (const [i, coding] of codings.entries()) {
      const [scheme, granularity] = coding.split(', ') as [string, string];
      const group = granularity === 'group' ? ['--group-size', '32'] : [];
      const chosen = ['--scheme', scheme, '--granularity', granularity, ...group, '--quiet'];
      // Each goes first in its turn.
      const order = turn % 2 === 0 ? builds : builds.toReversed();
      for (const build of order) {
        const wall = run(process.execPath, [build, 'quantize', input, '-o', output, ...chosen], measured);
        const { seconds, megabytes } = JSON.parse(readFileSync(took, 'utf8')) as {
          seconds: number;
          megabytes: number;
        };
        rows[i]?.[builds.indexOf(build)]?.push({ wall, processor: seconds, megabytes });
        rmSync(output);
      }
    }
    if (isSparse) continue;
    const start = performance.now();
    copyFileSync(input, copy);
    copies.push((performance.now() - start) / 1000);
    rmSync(copy);
  }
  const copied = isSparse ? ', sparse' : `; its copy takes ${median(copies).toFixed(2)} s`;
  process.stdout.write(`${[`${size} GiB`, what].join(' ').trimEnd()}${copied}\n`);
  for (const [i, coding] of codings.entries()) {
    const [own, other] = (rows[i] as Took[][]).map((runs) => ({
      wall: median(runs.map(({ wall }) => wall)),
      processor: median(runs.map(({ processor }) => processor)),
      memory: `${Math.max(...runs.map(({ megabytes }) => megabytes)).toFixed(0)} MB at most`,
    })) as [Medians, Medians?];
    const share = isSparse ? '' : `  ${(own.wall / median(copies)).toFixed(1)} copies`;
    const ratio = (key: 'wall' | 'processor') => (own[key] / (other?.[key] ?? Number.NaN)).toFixed(2);
    const beside = other
      ? `; the other ${other.wall.toFixed(2)} s, ${other.memory}: ${ratio('wall')} of its time, ${ratio('processor')} of its processor time`
      : '';
    process.stdout.write(`  ${coding.padEnd(16)} ${own.wall.toFixed(2)} s${share}  ${own.memory}${beside}\n`);
  }
  rmSync(input);
}

for (const size of sizes.length > 0 ? sizes : [1]) {
  if (options.shards) benchShards(size);
  else for (const form of size > 2 ? FORMS.slice(0, 1) : FORMS) benchForm(size, form);
}
