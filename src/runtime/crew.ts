import { aligned } from './tensor.js';
import {
  claimPart,
  computePart,
  JOB,
  PART_KERNELS,
  PART_WORDS,
  SPINS,
  STOP,
  type ThreadStart,
} from './thread.js';
import type { Kernels } from './types.js';

/** Starts a thread that serves; hosts differ in how. */
export type Spawn = (start: ThreadStart) => {
  /** Ends the thread at once. */
  terminate(): unknown;
};

/** How many threads run a network, and why they are fewer than was asked. */
export interface Threads {
  readonly count: number;
  readonly reason?: string;
}

export interface CrewPlan extends Threads {
  readonly spawn?: Spawn;
}

interface Wish {
  readonly threads?: number;
  readonly spawn?: Spawn;
  readonly module?: unknown;
  readonly backend?: string;
}

/** Threads in Workers, where the host has them. */
const inWorker: Spawn = (start) => {
  const worker = new Worker(new URL('./thread-worker.js', import.meta.url), { type: 'module' });
  worker.postMessage(start);
  return worker;
};

/** Threads as they can be had: one, with a reason, where memory cannot be shared. */
export function planCrew({ threads = 1, spawn, module, backend }: Wish): CrewPlan {
  if (threads === 1) return { count: 1 };
  const one = (reason: string) => ({ count: 1, reason });
  if (backend === 'reference') return one('the reference runs in one thread');
  if (module !== undefined) return one('a module made elsewhere has a memory of its own');
  if (typeof SharedArrayBuffer !== 'function')
    return one('this host has no shared memory: the page is not isolated');
  if (
    (globalThis as { crossOriginIsolated?: boolean }).crossOriginIsolated === false &&
    typeof document === 'object'
  )
    return one('this page is not isolated: it lacks the headers COOP and COEP');
  const own = spawn ?? (typeof Worker === 'function' ? inWorker : undefined);
  return own ? { count: threads, spawn: own } : one('this host has no Worker: give the option spawn');
}

type Calls = Readonly<Record<string, (...args: number[]) => void>>;

/** How long a network that is loaded waits for its threads, in milliseconds. */
const PATIENCE = 2000;
const NONE = `no thread started within ${PATIENCE} ms: bundlers have to keep thread-worker.js (docs/RUNTIME.md)`;

/** Words of a job of so many parts. */
const wordsOf = (parts: number) => JOB.parts + PART_WORDS * parts;

/** Bytes that an instance of the kernels needs for itself. */
const SCRATCH_BYTES = 512;

/** Memory of a crew. */
export const crewBytes = (count: number): number => aligned(4 * wordsOf(count)) + SCRATCH_BYTES * count;

/** A page's own thread must not wait. */
function mayWait(words: Int32Array): boolean {
  try {
    Atomics.wait(words, JOB.done, -1, 0);
    return true;
  } catch {
    return false;
  }
}

/** Threads that compute parts of a layer beside the one that runs the network, in one memory. Each part is what it is alone. */
export class Crew {
  readonly #words: Int32Array;
  readonly #factor: Float32Array;
  readonly #threads: readonly { terminate(): unknown }[];
  readonly #canWait: boolean;
  readonly #calls: Calls;
  readonly #buffer: ArrayBufferLike;
  #number = 0;

  /** @param count threads, this one included @param at {@link crewBytes} bytes, memory in its last size */
  constructor(
    kernels: Kernels,
    shared: { readonly module: WebAssembly.Module; readonly memory: WebAssembly.Memory },
    readonly count: number,
    private readonly at: number,
    spawn: Spawn,
  ) {
    this.#calls = kernels as unknown as Calls;
    this.#buffer = shared.memory.buffer;
    this.#words = new Int32Array(this.#buffer, at, wordsOf(count));
    this.#factor = new Float32Array(this.#buffer, at + 4 * JOB.factor, 1);
    this.#words.fill(0);
    this.#canWait = mayWait(this.#words);
    const own = at + aligned(4 * wordsOf(count));
    (this.#calls.useScratch as (at: number) => void)(own);
    this.#threads = Array.from({ length: count - 1 }, (_, i) =>
      spawn({ ...shared, job: at, scratch: own + SCRATCH_BYTES * (i + 1) }),
    );
  }

  /** Waits for the threads, but not for long: what is not there takes no part. @returns the plan, with a reason where none came */
  async started(plan: CrewPlan): Promise<CrewPlan> {
    const end = performance.now() + PATIENCE;
    const there = () => Atomics.load(this.#words, JOB.ready);
    while (there() < this.count - 1 && performance.now() < end)
      await new Promise((done) => setTimeout(done, 1));
    return there() > 0 ? plan : { ...plan, reason: NONE };
  }

  /** Parts that other threads computed so far. */
  get helped(): number {
    return Atomics.load(this.#words, JOB.helped);
  }

  /** What part `i` of the next job is: addresses. */
  part(i: number, record: number, x: number, out: number, slot: number): void {
    const words = this.#words;
    const from = JOB.parts + PART_WORDS * i;
    words[from] = record;
    words[from + 1] = x;
    words[from + 2] = out;
    words[from + 3] = slot;
  }

  /** Computes the parts, this thread among the others, and waits for those that others took. */
  run(kernel: (typeof PART_KERNELS)[number], parts: number, factor: number, isPositive: number): void {
    const words = this.#words;
    words[JOB.kernel] = PART_KERNELS.indexOf(kernel);
    words[JOB.isPositive] = isPositive;
    this.#factor[0] = factor;
    this.#number = (this.#number + 1) & 0x7fff;
    Atomics.store(words, JOB.done, 0);
    Atomics.store(words, JOB.claim, (this.#number << 16) | parts);
    Atomics.notify(words, JOB.claim);
    for (;;) {
      const claim = Atomics.load(words, JOB.claim);
      if (((claim >> 8) & 255) >= parts) break;
      const part = claimPart(words, claim);
      if (part < 0) continue;
      computePart(this.#calls, this.#buffer, this.at, part);
      Atomics.add(words, JOB.done, 1);
    }
    for (let idle = 0; ; ) {
      const done = Atomics.load(words, JOB.done);
      if (done >= parts) break;
      if (this.#canWait && idle++ >= SPINS) {
        Atomics.wait(words, JOB.done, done);
        idle = 0;
      }
    }
    if (Atomics.load(words, JOB.failed) !== 0) throw new Error('a thread failed at a kernel');
  }

  stop(): void {
    Atomics.store(this.#words, JOB.claim, STOP);
    Atomics.notify(this.#words, JOB.claim);
    for (const thread of this.#threads) thread.terminate();
  }
}
