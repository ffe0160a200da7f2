/** What a thread is started with. */
export interface ThreadStart {
  /** The kernels, which import their memory as `env.memory`. */
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  /** Address of the words that say what is to be done, and of 512 bytes that are the thread's own. */
  readonly job: number;
  readonly scratch: number;
}

/**
 * Words of a job. `claim` is `number of the job << 16 | next part << 8 | parts`: a part belongs to whoever adds 256 to what it has
 * read. What stands behind it does not change before all parts are done.
 */
export const JOB = {
  claim: 0,
  done: 1,
  failed: 2,
  kernel: 3,
  factor: 4,
  isPositive: 5,
  ready: 6,
  helped: 7,
  parts: 8,
} as const;

/** Words of a part: record, activations, outputs, range. */
export const PART_WORDS = 4;

/** The kernels that work in parts, by their number in a job. */
export const PART_KERNELS = ['convolve', 'convolveWinograd', 'convolveFloat', 'depthwise'] as const;

/** What `claim` holds when threads are to end. */
export const STOP = -1;

/** Looks at a word so often, some ten microseconds, before a thread lies down. */
export const SPINS = 10000;

type Call = (...args: number[]) => void;

/** Computes one part of the job at hand. */
export function computePart(
  kernels: Readonly<Record<string, Call>>,
  memory: ArrayBufferLike,
  job: number,
  part: number,
): void {
  const words = new Int32Array(memory, job, JOB.parts + PART_WORDS * (part + 1));
  const factor = new Float32Array(memory, job + 4 * JOB.factor, 1)[0] as number;
  const at = JOB.parts + PART_WORDS * part;
  const [record, x, out, slot] = words.subarray(at, at + PART_WORDS) as unknown as [
    number,
    number,
    number,
    number,
  ];
  const name = PART_KERNELS[words[JOB.kernel] as number] as (typeof PART_KERNELS)[number];
  const call = kernels[name] as Call;
  if (name === 'convolve') call(record, x, out, factor, slot);
  else if (name === 'convolveWinograd') call(record, x, out, factor, words[JOB.isPositive] as number, slot);
  else call(record, x, out, slot);
}

/** Takes the next part of a job that is there, if there is one. @returns -1 where there is none */
export function claimPart(words: Int32Array, claim: number): number {
  const next = (claim >> 8) & 255;
  if (next >= (claim & 255)) return -1;
  return Atomics.compareExchange(words, JOB.claim, claim, claim + 256) === claim ? next : -1;
}

/** Computes parts of jobs as they come, until it is told to stop. Spins for a while, then waits. */
export async function serve({ module, memory, job, scratch }: ThreadStart): Promise<void> {
  const { exports } = await WebAssembly.instantiate(module, { env: { memory } });
  const kernels = exports as unknown as Readonly<Record<string, Call>>;
  (kernels.useScratch as Call)(scratch);
  const words = new Int32Array(memory.buffer, job, JOB.parts);
  Atomics.add(words, JOB.ready, 1);
  for (let idle = 0; ; ) {
    const claim = Atomics.load(words, JOB.claim);
    if (claim === STOP) return;
    const part = claimPart(words, claim);
    if (part >= 0) {
      try {
        computePart(kernels, memory.buffer, job, part);
      } catch {
        Atomics.store(words, JOB.failed, 1);
      }
      Atomics.add(words, JOB.helped, 1);
      Atomics.add(words, JOB.done, 1);
      Atomics.notify(words, JOB.done);
      idle = 0;
    } else if (idle++ >= SPINS) {
      Atomics.wait(words, JOB.claim, claim);
      idle = 0;
    }
  }
}
