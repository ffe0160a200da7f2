// Networks on several threads beside the same on one, in a page and in a module worker that the page starts: threads.html?worker.
import { loadNetwork, type NetworkSummary } from '../../../src/runtime/index.js';

/** What became of a network. */
export interface ThreadedRun {
  readonly file: string;
  readonly weights: 'decoded' | 'packed';
  readonly asked: number;
  readonly threads: NetworkSummary['threads'];
  /** Outputs that are not those of one thread, bit by bit. */
  readonly different: number;
  readonly outputs: number;
}

const PATIENCE = 30_000;

function sampleOf(length: number, seed: number): Float32Array {
  let state = seed;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  });
}

async function runThreaded(file: string, weights: 'decoded' | 'packed', asked: number): Promise<ThreadedRun> {
  const one = await loadNetwork(fetch(file), { weights });
  const several = await loadNetwork(fetch(file), { weights, threads: asked });
  const size = one.inputs[0]?.shape.reduce((n, d) => n * d, 1) as number;
  const end = performance.now() + PATIENCE;
  let [different, outputs] = [0, 0];
  // The threads have taken no part as long as they are on their way.
  for (let round = 0; ; round++) {
    const x = sampleOf(size, round);
    const [a, b] = [one.run(x), several.run(x)].map((own) => new Uint32Array(own.slice().buffer));
    a?.forEach((bits, i) => {
      outputs++;
      if (bits !== b?.[i]) different++;
    });
    const { count, helped = 0 } = several.summary().threads;
    if (round >= 5 && (count === 1 || helped > 0 || performance.now() > end)) break;
  }
  const { threads } = several.summary();
  several.dispose();
  one.dispose();
  return { file, weights, asked, threads, different, outputs };
}

async function runAll(): Promise<readonly ThreadedRun[]> {
  const runs: ThreadedRun[] = [];
  for (const file of ['digits.safetensors', 'mobilenet.safetensors'])
    for (const weights of ['decoded', 'packed'] as const)
      for (const threads of [2, 3]) runs.push(await runThreaded(file, weights, threads));
  return runs;
}

const isPage = typeof document === 'object';
if (!isPage) postMessage(await runAll());
else
  Object.assign(globalThis, {
    runs: new URLSearchParams(location.search).has('worker')
      ? new Promise((resolve, reject) => {
          const worker = new Worker(import.meta.url, { type: 'module' });
          worker.onmessage = ({ data }) => resolve(data);
          worker.onerror = ({ message }) => reject(new Error(`worker: ${message}`));
        })
      : runAll(),
  });
