// How long the command line takes to start: whole processes, taken in turn so that a busy machine slows all alike.
//   npm run bench:start [-- RUNS]
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
const digits = fileURLToPath(new URL('../examples/digits/digits.h5', import.meta.url));
const cifar10 = fileURLToPath(new URL('../examples/cifar10/cifar10.h5', import.meta.url));
const runs = Number(process.argv[2] ?? 21);
const folder = mkdtempSync(path.join(tmpdir(), 'bitnibble-start-'));
process.on('exit', () => rmSync(folder, { recursive: true }));
const packed = path.join(folder, 'cifar10.safetensors');

const cases: readonly (readonly [name: string, args: readonly string[]])[] = [
  ['an empty Node.js process', ['-e', '0']],
  ['--version', [main, '--version']],
  ['--help', [main, '--help']],
  ['quantize --help', [main, 'quantize', '--help']],
  ['inspect digits.h5', [main, 'inspect', digits]],
  ['quantize cifar10.h5', [main, 'quantize', cifar10, '-o', packed, '--scheme', 'int4', '--quiet']],
];
const times = cases.map((): number[] => []);
for (let run = 0; run < runs; run++) {
  for (const [i, [name, args]] of cases.entries()) {
    const start = performance.now();
    const { status } = spawnSync(process.execPath, args, { stdio: 'ignore' });
    times[i]?.push(performance.now() - start);
    if (status !== 0) throw new Error(`${name} ended with status ${status}`);
  }
}
const medians = times.map((own) => own.sort((a, b) => a - b)[runs >> 1] as number);
for (const [i, [name]] of cases.entries()) {
  const median = medians[i] as number;
  const share = (median / (medians[0] as number)).toFixed(2);
  process.stdout.write(`${name.padEnd(26)} ${median.toFixed(0).padStart(6)} ms ${share.padStart(6)}\n`);
}
