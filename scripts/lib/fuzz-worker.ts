// Opens one damaged file after another, as its parent asks for them, and says what came of each.
import { BitnibbleError } from '../../src/errors.js';
import { bytesSource, openKeras } from '../../src/keras/index.js';
import { loadKernels } from '../../src/kernels/index.js';
import { openPacked } from '../../src/packed/index.js';
import { toTopology } from '../../src/tfjs/topology.js';
import { bytesOfCase, loadSamples } from './fuzz-cases.js';

/** What came of a case. `outcome` is `valid`, an error's code, or `failed`. */
export interface Answer {
  readonly name: string;
  readonly outcome: string;
  readonly detail: string;
  readonly milliseconds: number;
  /** Bytes of the whole process at its largest so far. */
  readonly memory: number;
}

const kernels = await loadKernels();
const samples = new Map((await loadSamples()).map((sample) => [sample.name, sample]));
const openShard = (name: string) => {
  const sample = samples.get(`containers/${name}`);
  if (!sample) throw new BitnibbleError('not-found', `${name}: no such shard`);
  return bytesSource(sample.bytes);
};

async function readAll(name: string, bytes: Uint8Array): Promise<void> {
  if (name.endsWith('.safetensors')) {
    const model = openPacked(bytes, kernels, name);
    for (const { id } of model.weights) model.read(id);
    return;
  }
  const model = await openKeras(bytes, name, { openShard });
  try {
    for (const { id, shape } of model.weights) {
      const values = model.read(id);
      const count = shape.reduce((product, n) => product * n, 1);
      if (values.length !== count) throw new Error(`${id} has ${values.length} values, expected ${count}`);
    }
    if (model.architecture) toTopology(model);
  } finally {
    model.close();
  }
}

async function answer(name: string, seed: number): Promise<Answer> {
  const hash = name.indexOf('#');
  const sample = samples.get(name.slice(0, hash));
  if (!sample) throw new Error(`no sample for ${name}`);
  const bytes = bytesOfCase(sample, name.slice(hash + 1), seed);
  const start = performance.now();
  let outcome = 'valid';
  let detail = '';
  try {
    await readAll(sample.name, bytes);
  } catch (error) {
    const isCoded = error instanceof BitnibbleError;
    outcome = isCoded ? error.code : 'failed';
    detail = isCoded ? error.message : String((error as Error)?.stack ?? error);
  }
  return {
    name,
    outcome,
    detail,
    milliseconds: performance.now() - start,
    memory: process.resourceUsage().maxRSS * 1024,
  };
}

for (const { name, bytes } of samples.values()) {
  await readAll(name, bytes).catch((error) => {
    if (!(error instanceof BitnibbleError)) throw error;
  });
}
process.on('message', ({ name, seed }: { name: string; seed: number }) => {
  void answer(name, seed).then((result) => process.send?.(result));
});
process.send?.('ready');
