// Opens damaged files by the thousand: each has to end in a coded error or a valid model, within 2 s and 512 MB.
//
//   node --import tsx scripts/fuzz.ts [--mutations 20000] [--seconds S] [--seed N] [--only CASE]
//
//   --mutations   how many mutations, over all fixtures; truncations come on top
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
import { caseNames, kindOf, loadSamples } from './lib/fuzz-cases.js';
import type { Answer } from './lib/fuzz-worker.js';

const PATIENCE = 2000;
const MEMORY = 512 * 2 ** 20;
const STARTING = 60_000;
const WORKERS = 2;

const { values } = parseArgs({
  options: {
    mutations: { type: 'string', default: '20000' },
    seconds: { type: 'string', default: 'Infinity' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string' },
  },
});
const [mutations, seconds, seed] = [values.mutations, values.seconds, values.seed].map(Number) as [
  number,
  number,
  number,
];
if (![mutations, seed].every(Number.isSafeInteger) || Number.isNaN(seconds))
  throw new RangeError('"mutations", "seconds" and "seed" expected numbers');

/** Workers start here; nothing may be here in the end. */
const folder = mkdtempSync(path.join(tmpdir(), 'bitnibble-fuzz-'));
const start = performance.now();
const outcomes = new Map<string, number>();
const failures: { name: string; detail: string }[] = [];
/** What was damaged how often: `h5 truncated`, `zip mutated`. */
const kinds = new Map<string, number>();
let slowest = { name: '', milliseconds: 0 };
let largest = { name: '', memory: 0 };

/** A process that opens files; `ask` resolves to an answer, or to how the process ended instead. */
class Opener {
  #child: ChildProcess | undefined;

  async ask(name: string): Promise<Answer> {
    const child = this.#child ?? (await this.#begin());
    const started = performance.now();
    const reply = await next(child, PATIENCE, () => child.send({ name, seed }));
    if (typeof reply === 'object') {
      const { milliseconds, memory } = reply;
      if (memory <= MEMORY && milliseconds <= PATIENCE) return reply;
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

function note({ name, outcome, detail, milliseconds, memory }: Answer): void {
  const kind = `${kindOf(name)} ${name.includes('#cut-') ? 'truncated' : 'mutated'}`;
  kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  if (milliseconds > slowest.milliseconds) slowest = { name, milliseconds };
  if (memory > largest.memory) largest = { name, memory };
  if (values.only !== undefined) process.stdout.write(`${name}: ${outcome}: ${detail}\n`);
  if (outcome !== 'failed') return;
  failures.push({ name, detail });
  process.stdout.write(
    `FAILED ${name}: ${detail}\n  again: node --import tsx scripts/fuzz.ts --seed ${seed} --only '${name}'\n`,
  );
}

const names = values.only === undefined ? caseNames(await loadSamples(), mutations) : [values.only];
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

const total = [...outcomes.values()].reduce((sum, count) => sum + count, 0);
const table = [...outcomes].sort((a, b) => b[1] - a[1]).map(([code, count]) => `  ${code}: ${count}`);
process.stdout.write(
  [
    `${total} of ${names.length} cases in ${((performance.now() - start) / 1000).toFixed(1)} s, seed ${seed}`,
    [...kinds]
      .map(([kind, count]) => `${count} ${kind}`)
      .sort()
      .join(', '),
    ...table,
    `slowest: ${slowest.milliseconds.toFixed()} ms (${slowest.name})`,
    `most memory: ${Math.round(largest.memory / 2 ** 20)} MB (${largest.name})`,
    `${failures.length} failed`,
    '',
  ].join('\n'),
);
process.exitCode = failures.length > 0 ? 1 : 0;
