// Errors of the networks of test/fixtures/tfjs against Keras, on every backend that this machine has.
//
//   npm run support -- --parity     writes them into docs/SUPPORT.md
//
// A process for each backend, since two packages of TensorFlow.js cannot share one: with the name of a backend as its argument
// this file prints that backend's errors as JSON.
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { loadKernels } from '../src/kernels/index.js';
import { openKeras } from '../src/node/models.js';
import { loadTensorFlow } from '../src/node/tfjs.js';
import { toTopology } from '../src/tfjs/index.js';
import { errorsOf, REFUSED } from '../test/runtime/parity.js';
import { chromiumErrors } from '../test/runtimes/support/parity.js';
import { everyName, fileOf, parity, quantized } from '../test/tfjs/support.js';
import { chromiumPath } from './lib/project.js';

/** The larger error of float and int4, or why there is none. */
type Errors = Readonly<Record<string, number | string>>;

const BACKENDS = ['tfjs-node', 'wasm', 'cpu', 'Chromium', 'runtime'] as const;
type Backend = (typeof BACKENDS)[number];

async function everyError(of: (name: string) => Promise<number | string>): Promise<Errors> {
  const errors: Record<string, number | string> = {};
  for (const name of everyName) errors[name] = await of(name);
  return errors;
}

async function runtimeErrors(): Promise<Errors> {
  const kernels = await loadKernels();
  return everyError(async (name) => {
    if (name in REFUSED) return 'refused';
    const { float, packed } = await quantized(name, kernels);
    const [full, int4] = [
      await errorsOf(float, name, 'y', 'decoded'),
      await errorsOf(packed, name, 'q', 'packed'),
    ];
    float.close();
    return Math.max(full.ofLargest, int4.ofLargest);
  });
}

async function tfjsErrors(backend: 'tfjs-node' | 'wasm' | 'cpu'): Promise<Errors> {
  const { tf } = await loadTensorFlow({ prefer: backend === 'tfjs-node' ? 'node' : 'wasm' });
  if (backend === 'cpu') await tf.setBackend('cpu');
  const kernels = await loadKernels();
  return everyError(async (name) => {
    const { float, int4 } = await parity(tf, name, kernels);
    return Math.max(float, int4);
  });
}

async function errorsOn(backend: Backend): Promise<Errors> {
  if (backend === 'runtime') return runtimeErrors();
  if (backend !== 'Chromium') return tfjsErrors(backend);
  const { errors } = await chromiumErrors(chromiumPath());
  return Object.fromEntries(
    Object.entries(errors).map(([name, { float, int4 }]) => [name, Math.max(float, int4)]),
  );
}

/** Classes of bitnibble's own that a model has in TensorFlow.js. */
async function registeredIn(name: string): Promise<string> {
  const source = await openKeras(fileOf(name));
  const { registered } = toTopology(source);
  source.close();
  return registered.length === 0 ? 'none' : registered.join(', ');
}

/** Lines of the table, measured now. */
export async function parityTable(): Promise<string[]> {
  const results = BACKENDS.map((backend): Errors => {
    process.stderr.write(`${backend} ...\n`);
    const command = ['--import', 'tsx', fileURLToPath(import.meta.url), backend];
    const output = execFileSync(process.execPath, command, {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return JSON.parse(output.slice(output.lastIndexOf('\n{') + 1));
  });
  const cellOf = (error: number | string | undefined) =>
    typeof error === 'number' ? error.toExponential(0) : (error ?? '-');
  const rows = everyName.map(
    async (name) =>
      `| ${name} | ${results.map((errors) => cellOf(errors[name])).join(' | ')} | ${await registeredIn(name)} |`,
  );
  return [
    `| model | ${BACKENDS.join(' | ')} | classes of bitnibble in TensorFlow.js |`,
    `|---|${'---|'.repeat(BACKENDS.length + 1)}`,
    ...(await Promise.all(rows)),
  ];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const backend = BACKENDS.find((own) => own === process.argv[2]);
  if (!backend) throw new Error(`expected one of ${BACKENDS.join(', ')}`);
  process.stdout.write(`\n${JSON.stringify(await errorsOn(backend))}`);
}
