// Opens one damaged file after another, as its parent asks for them, and says what came of each.
import { readFileSync, writeFileSync } from 'node:fs';
import { BitnibbleError } from '../../src/errors.js';
import { bytesSource, openKeras } from '../../src/keras/index.js';
import { loadKernels } from '../../src/kernels/index.js';
import { openPacked } from '../../src/packed/index.js';
import { toTopology } from '../../src/tfjs/topology.js';
import { bytesOfCase, loadSamples } from './fuzz-cases.js';
import { kindOfCase } from './fuzz-kinds.js';

/** What came of a case. `outcome` is `valid`, an error's code, or `failed`. */
export interface Answer {
  readonly name: string;
  readonly outcome: string;
  readonly detail: string;
  /** Of the processor. */
  readonly milliseconds: number;
  /** Bytes of the whole process at its largest, of this case where the system tells, else so far. */
  readonly memory: number;
}

/** Begins to count the largest memory anew. Linux alone can. */
function forgetMemory(): void {
  try {
    writeFileSync('/proc/self/clear_refs', '5');
  } catch {}
}

function largestMemory(): number {
  try {
    const kilobytes = /^VmHWM:\s*(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
    if (kilobytes !== undefined) return Number(kilobytes) * 1024;
  } catch {}
  return process.resourceUsage().maxRSS * 1024;
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

/** Makes the input of a case; what comes back reads it. */
async function prepare(name: string, seed: number): Promise<() => Promise<unknown>> {
  const other = kindOfCase(name);
  if (other) return other.kind.prepare(other.number, seed);
  const hash = name.indexOf('#');
  const sample = samples.get(name.slice(0, hash));
  if (!sample) throw new Error(`no sample for ${name}`);
  const bytes = bytesOfCase(sample, name.slice(hash + 1), seed);
  return () => readAll(sample.name, bytes);
}

async function answer(name: string, seed: number): Promise<Answer> {
  const read = await prepare(name, seed);
  forgetMemory();
  const start = process.cpuUsage();
  let outcome = 'valid';
  let detail = '';
  try {
    await read();
  } catch (error) {
    const isCoded = error instanceof BitnibbleError;
    outcome = isCoded ? error.code : 'failed';
    detail = isCoded ? error.message : String((error as Error)?.stack ?? error);
  }
  const { user, system } = process.cpuUsage(start);
  return {
    name,
    outcome,
    detail,
    milliseconds: (user + system) / 1000,
    memory: largestMemory(),
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
