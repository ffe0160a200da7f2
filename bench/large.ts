// Quantizing models of gigabytes: whole processes beside `cp` of the same file, and the largest memory that they take.
//   npm run bench:large [-- GIB ...]      default 1; files above 2 GiB are sparse, and only their memory is of interest
//   npm run bench:large -- --shards 64    sparse Keras weights in shards of 256 MiB, into packed shards of at most 1 GB
// h5py makes the files: $BITNIBBLE_PYTHON, or the environment of `node scripts/python-env.js`.
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { findPython } from '../scripts/lib/project.js';

const at = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const isSharded = process.argv[2] === '--shards';
const sizes = process.argv.slice(isSharded ? 3 : 2).map(Number);
if (sizes.some((size) => !(size >= 0.25 && size * 4 === Math.floor(size * 4))))
  throw new RangeError('sizes expected quarters of GiB, as 1 or 0.25');
const RUNS = 3;
const CODINGS = [
  ['int4', 'channel'],
  ['int4', 'group'],
  ['binary', 'channel'],
] as const;

const folder = mkdtempSync(path.join(tmpdir(), 'bitnibble-large-'));
process.on('exit', () => rmSync(folder, { recursive: true }));
const [input, output, copy, took] = ['in.h5', 'out.safetensors', 'copy.h5', 'took.json'].map((name) =>
  path.join(folder, name),
) as [string, string, string, string];

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
  const options = ['--scheme', 'binary', '--shard-size', '1GB', '--quiet'];
  const args = [at('../dist/cli/main.js'), 'quantize', list, '-o', index, ...options];
  const seconds = run(process.execPath, args, measured);
  const { megabytes } = JSON.parse(readFileSync(took, 'utf8')) as { megabytes: number };
  const shards = readdirSync(folder).filter((name) => /^out-.*\.safetensors$/.test(name)).length;
  process.stdout.write(
    `${size} GiB in ${size * 4} sparse shards: binary, channel, into ${shards} shards: ${seconds.toFixed(1)} s, ${megabytes.toFixed(0)} MB at most\n`,
  );
  for (const name of readdirSync(folder)) rmSync(path.join(folder, name));
}

for (const size of sizes.length > 0 ? sizes : [1]) {
  if (isSharded) {
    benchShards(size);
    continue;
  }
  const isSparse = size > 2;
  run(findPython(), [at('large_model.py'), input, String(size * 4), ...(isSparse ? ['sparse'] : [])]);
  const copies: number[] = [];
  const rows = CODINGS.map(() => ({ seconds: [] as number[], megabytes: [] as number[] }));
  for (let turn = 0; turn < (isSparse ? 1 : RUNS); turn++) {
    for (const [i, [scheme, granularity]] of CODINGS.entries()) {
      const group = granularity === 'group' ? ['--group-size', '32'] : [];
      const coding = ['--scheme', scheme, '--granularity', granularity, ...group];
      const args = [at('../dist/cli/main.js'), 'quantize', input, '-o', output, ...coding, '--quiet'];
      rows[i]?.seconds.push(run(process.execPath, args, measured));
      rows[i]?.megabytes.push((JSON.parse(readFileSync(took, 'utf8')) as { megabytes: number }).megabytes);
      rmSync(output);
    }
    if (isSparse) continue;
    const start = performance.now();
    copyFileSync(input, copy);
    copies.push((performance.now() - start) / 1000);
    rmSync(copy);
  }
  process.stdout.write(
    `${size} GiB${isSparse ? ', sparse' : `; its copy takes ${median(copies).toFixed(2)} s`}\n`,
  );
  for (const [i, [scheme, granularity]] of CODINGS.entries()) {
    const { seconds, megabytes } = rows[i] as (typeof rows)[number];
    const time = median(seconds);
    const share = isSparse ? '' : `  ${(time / median(copies)).toFixed(1)} copies`;
    const memory = `${Math.max(...megabytes).toFixed(0)} MB at most`;
    process.stdout.write(
      `  ${`${scheme}, ${granularity}`.padEnd(16)} ${time.toFixed(2)} s${share}  ${memory}\n`,
    );
  }
  rmSync(input);
}
