// Opens damaged files, and meets hostile input of other kinds (scripts/lib/fuzz-kinds.ts), by the thousand: each case has to
// end in a coded error or a sound result, within 2 s of
// the processor and 512 MB.
//
//   node --import tsx scripts/fuzz.ts [--mutations 20000] [--share 1] [--seconds S] [--seed N] [--only CASE]
//
//   --mutations   how many mutations, over all fixtures; truncations come on top
//   --share       of the cases of the other kinds, between 0 and 1
//   --seconds     stop then, wherever it is; without it the run goes to its end
//   --seed        other mutations
//   --only        one case, as a failure names it
//
// Ends with status 1 after a failure: another exception, a crash, a hang, too much memory, a file written.
import { type ChildProcess, fork } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { caseNames, kindOf, loadSamples, spread } from './lib/fuzz-cases.js';
import { FUZZ_KINDS, kindOfCase } from './lib/fuzz-kinds.js';
import type { Answer } from './lib/fuzz-worker.js';

/** Milliseconds of the processor that a case may take. */
const LIMIT = 2000;
/** After so many on the clock, input made included, it hangs. */
const PATIENCE = 20_000;
const MEMORY = 512 * 2 ** 20;
const STARTING = 60_000;
const WORKERS = 2;

const { values } = parseArgs({
  options: {
    mutations: { type: 'string', default: '20000' },
    share: { type: 'string', default: '1' },
    seconds: { type: 'string', default: 'Infinity' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string' },
  },
});
const [mutations, seconds, seed, share] = [values.mutations, values.seconds, values.seed, values.share].map(
  Number,
) as [number, number, number, number];
if (![mutations, seed].every(Number.isSafeInteger) || Number.isNaN(seconds) || !(share >= 0 && share <= 1))
  throw new RangeError('"mutations", "seconds" and "seed" expected numbers, "share" one from 0 to 1');

/** Workers start here; nothing may be here in the end. */
const folder = mkdtempSync(path.join(tmpdir(), 'bitnibble-fuzz-'));
const start = performance.now();
const outcomes = new Map<string, number>();
const failures: { name: string; detail: string }[] = [];
/** Of each kind (`h5 truncated`, `servers`): how many, the slowest and the largest. */
const kinds = new Map<string, { count: number; slowest: Answer; largest: Answer }>();

/** A process that opens files; `ask` resolves to an answer, or to how the process ended instead. */
class Opener {
  #child: ChildProcess | undefined;

  async ask(name: string): Promise<Answer> {
    const child = this.#child ?? (await this.#begin());
    const started = performance.now();
    const reply = await next(child, PATIENCE, () => child.send({ name, seed }));
    if (typeof reply === 'object') {
      const { milliseconds, memory } = reply;
      if (memory <= MEMORY && milliseconds <= LIMIT) return reply;
      this.end();
      const detail =
        memory > MEMORY
          ? `took ${Math.round(memory / 2 ** 20)} MB of memory`
          : `took ${Math.round(milliseconds)} ms`;
      return { ...reply, outcome: 'failed', detail };
    }
    this.end();
    const milliseconds = performance.now() - started;
    return { name, outcome: 'failed', detail: reply, milliseconds, memory: 0 };
  }

  end(): void {
    this.#child?.kill('SIGKILL');
    this.#child = undefined;
  }

  async #begin(): Promise<ChildProcess> {
    const worker = fileURLToPath(new URL('./lib/fuzz-worker.ts', import.meta.url));
    const child = fork(worker, {
      cwd: folder,
      execArgv: ['--max-old-space-size=512', '--import', import.meta.resolve('tsx')],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    child.stderr?.setEncoding('utf8');
    this.#child = child;
    const reply = await next(child, STARTING);
    if (reply === 'ready') return child;
    throw new Error(`the process that opens files does not start: ${JSON.stringify(reply)}`);
  }
}

/** The next message of a process, or what became of it. */
function next(child: ChildProcess, patience: number, send?: () => void): Promise<Answer | string> {
  return new Promise((resolve) => {
    let printed = '';
    const onText = (text: string) => {
      printed = (printed + text).slice(-2000);
    };
    const finish = (result: Answer | string) => {
      clearTimeout(timer);
      child.off('message', finish).off('exit', onExit);
      child.stderr?.off('data', onText);
      resolve(result);
    };
    const onExit = (code: number | null, signal: string | null) =>
      finish(`the process ended with ${signal ?? `status ${code}`}: ${printed}`);
    const timer = setTimeout(() => finish(`still busy after ${patience} ms`), patience);
    child.on('message', finish).on('exit', onExit);
    child.stderr?.on('data', onText);
    send?.();
  });
}

function note(answer: Answer): void {
  const { name, outcome, detail } = answer;
  const file = `${kindOf(name)} ${name.includes('#cut-') ? 'truncated' : 'mutated'}`;
  const kind = kindOfCase(name)?.kind.name ?? file;
  const seen = kinds.get(kind) ?? { count: 0, slowest: answer, largest: answer };
  kinds.set(kind, {
    count: seen.count + 1,
    slowest: answer.milliseconds > seen.slowest.milliseconds ? answer : seen.slowest,
    largest: answer.memory > seen.largest.memory ? answer : seen.largest,
  });
  outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  if (values.only !== undefined) process.stdout.write(`${name}: ${outcome}: ${detail}\n`);
  if (outcome !== 'failed') return;
  failures.push({ name, detail });
  process.stdout.write(
    `FAILED ${name}: ${detail}\n  again: node --import tsx scripts/fuzz.ts --seed ${seed} --only '${name}'\n`,
  );
}

const others = FUZZ_KINDS.map(({ name, cases }) =>
  Array.from({ length: Math.ceil(cases * share) }, (_, n) => `${name}:${n}`),
);
const names =
  values.only === undefined ? spread(caseNames(await loadSamples(), mutations), ...others) : [values.only];
let taken = 0;

async function work(): Promise<void> {
  const opener = new Opener();
  try {
    while (taken < names.length && performance.now() - start < seconds * 1000 && failures.length < 100) {
      const name = names[taken++] as string;
      let result = await opener.ask(name);
      // A busy machine is no fault of the reader: what was slow or large gets a fresh process and a second chance.
      if (/^(still busy|took)/.test(result.detail) && result.outcome === 'failed')
        result = await opener.ask(name);
      note(result);
    }
  } finally {
    opener.end();
  }
}

try {
  await Promise.all(Array.from({ length: Math.min(WORKERS, names.length) }, work));
  const written = readdirSync(folder);
  if (written.length > 0) failures.push({ name: 'files', detail: `written: ${written.join(', ')}` });
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function lineOf([kind, { count, slowest, largest }]: [
  string,
  { count: number; slowest: Answer; largest: Answer },
]) {
  const time = `${slowest.milliseconds.toFixed()} ms (${slowest.name})`;
  return `${count} ${kind}: at most ${time}, ${Math.round(largest.memory / 2 ** 20)} MB (${largest.name})`;
}

const total = [...outcomes.values()].reduce((sum, count) => sum + count, 0);
const table = [...outcomes].sort((a, b) => b[1] - a[1]).map(([code, count]) => `  ${code}: ${count}`);
process.stdout.write(
  [
    `${total} of ${names.length} cases in ${((performance.now() - start) / 1000).toFixed(1)} s, seed ${seed}`,
    ...[...kinds].sort(([a], [b]) => (a < b ? -1 : 1)).map(lineOf),
    ...table,
    `${failures.length} failed`,
    '',
  ].join('\n'),
);
process.exitCode = failures.length > 0 ? 1 : 0;
