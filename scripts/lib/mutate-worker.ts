// A process that runs tests one by one, with one mutant at a time active: see scripts/mutate.ts.
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import fc from 'fast-check';
import { type Collected, collected } from './mutate-uvu.js';

/** A test and the mutants that it comes by, without any active: how often each. */
export interface TestRun {
  readonly index: number;
  readonly name: string;
  readonly milliseconds: number;
  readonly reached: readonly (readonly [id: number, times: number])[];
  readonly error?: string;
}

export type Request =
  | { readonly kind: 'load'; readonly file: string; readonly active: number }
  | { readonly kind: 'baseline'; readonly index: number }
  /** `hits`: how often the mutant may be come by in a test; 0 where it was active from the start of the process. */
  | {
      readonly kind: 'mutant';
      readonly active: number;
      readonly tests: readonly number[];
      readonly hits: number;
    };
export type Answer =
  | {
      readonly kind: 'loaded';
      readonly tests: readonly string[];
      readonly reached: readonly number[];
      readonly error?: string;
    }
  | ({ readonly kind: 'baseline' } & TestRun)
  /** `isSpoilt`: the test fails without the mutant too, now. */
  | {
      readonly kind: 'mutant';
      readonly killedBy?: string;
      readonly error?: string;
      readonly isSpoilt?: boolean;
    };

const times: number[] = [];
let active = -1;
let hits = 0;
let most = Number.POSITIVE_INFINITY;

function $mutant(id: number): boolean {
  times[id] = (times[id] ?? 0) + 1;
  if (id !== active) return false;
  if (++hits > most) throw new Error('an endless loop, it seems');
  return true;
}
Object.assign(globalThis, { $mutant });
// The same cases in every run, and no search for a smaller one.
fc.configureGlobal({ seed: 1, endOnFailure: true });

let stray: unknown;
process.on('unhandledRejection', (error) => {
  stray = error ?? 'rejected';
});
process.on('uncaughtException', (error) => {
  stray = error;
});

const textOf = (error: unknown) => (error instanceof Error ? error.message : String(error)).split('\n')[0];
const started = new Set<Collected['hooks']>();

/** What is wrong with a test, or undefined. */
async function errorOf({ handler, hooks }: Collected): Promise<string | undefined> {
  const { state } = hooks;
  stray = undefined;
  try {
    if (!started.has(hooks)) for (const hook of hooks.before) await hook(state);
    started.add(hooks);
    for (const hook of hooks.each) await hook(state);
    await handler(state);
    for (const hook of hooks.afterEach) await hook(state);
  } catch (error) {
    return textOf(error) || 'failed';
  }
  return stray === undefined ? undefined : textOf(stray);
}

function reset(id = -1, limit = Number.POSITIVE_INFINITY): void {
  active = id;
  hits = 0;
  most = limit;
}

async function answer(request: Request): Promise<Answer> {
  if (request.kind === 'load') {
    reset(request.active);
    times.length = 0;
    const before = collected.length;
    try {
      await import(pathToFileURL(path.resolve(request.file)).href);
    } catch (error) {
      return { kind: 'loaded', tests: [], reached: [], error: textOf(error) };
    }
    return {
      kind: 'loaded',
      tests: collected.slice(before).map(({ name }) => name),
      reached: Object.keys(times).map(Number),
    };
  }
  if (request.kind === 'baseline') {
    reset();
    const test = collected[request.index] as Collected;
    times.length = 0;
    const start = performance.now();
    const error = await errorOf(test);
    const milliseconds = performance.now() - start;
    const reached = Object.entries(times).map(([id, n]) => [Number(id), n] as const);
    // A test that fails the second time cannot be run again and again.
    const again = error ?? (await errorOf(test));
    return { kind: 'baseline', index: request.index, name: test.name, milliseconds, reached, error: again };
  }
  for (const index of request.tests) {
    const test = collected[index] as Collected;
    reset(request.active, request.hits || undefined);
    const error = await errorOf(test);
    if (error === undefined) continue;
    reset();
    const isSpoilt = request.hits > 0 && (await errorOf(test)) !== undefined;
    return { kind: 'mutant', killedBy: test.name, error, isSpoilt };
  }
  reset();
  return { kind: 'mutant' };
}

let queue = Promise.resolve();
process.on('message', (request: Request) => {
  queue = queue.then(async () => {
    process.send?.(await answer(request));
  });
});
process.on('disconnect', () => process.exit());
