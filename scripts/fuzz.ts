// Opens damaged files, and meets hostile input of other kinds (scripts/lib/fuzz-kinds.ts), by the thousand: each case has to
// end in a coded error or a sound result, within 2 s of the processor and 512 MB. Then files are saved that must not be lost.
//
//   node --import ./scripts/lib/typescript.js scripts/fuzz.ts [--mutations 20000] [--truncations N] [--share 1] [--saving 100] [--seconds S]
//     [--processor 2000] [--seed N] [--kind KIND] [--only CASE]
//
//   --mutations    how many mutations, over all fixtures
//   --truncations  how many files cut off, over all fixtures; without it at every place
//   --share        of the cases of the other kinds, between 0 and 1
//   --saving       how many saves are killed; 0 leaves saving out
//   --seconds      stop then, wherever it is; without it the run goes to its end
//   --processor    milliseconds of the processor that a case may take
//   --seed         other mutations
//   --kind         cases of one kind alone: "files", "saving", or as the list of kinds calls it
//   --only         one case, as a failure names it
//
// Prints how many cases there were of each kind, the longest and the largest.
// Ends with status 1 after a failure: another exception, a crash, a hang, too much memory, a file written or lost.
import { type ChildProcess, fork } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { caseNames, kindOf, loadSamples, spread } from './lib/fuzz-cases.js';
import { FUZZ_KINDS, kindOfCase } from './lib/fuzz-kinds.js';
import type { Answer } from './lib/fuzz-worker.js';
import { typescript } from './lib/project.js';
import { runSavingCases } from './lib/saving-cases.js';

/**
 * A process that has not answered hangs after so many milliseconds of the processor, input made included, or on the clock: a machine
 * that is busy with something else gives little of the one in much of the other.
 */
const PATIENCE = { processor: 20_000, clock: 300_000 };
const MEMORY = 512 * 2 ** 20;
const STARTING = 600_000;
const WORKERS = 2;

const { values } = parseArgs({
  options: {
    mutations: { type: 'string', default: '20000' },
    truncations: { type: 'string', default: 'Infinity' },
    processor: { type: 'string', default: '2000' },
    saving: { type: 'string', default: '100' },
    share: { type: 'string', default: '1' },
    seconds: { type: 'string', default: 'Infinity' },
    seed: { type: 'string', default: '1' },
    kind: { type: 'string' },
    only: { type: 'string' },
  },
});
function numberOf(
  name: Exclude<keyof typeof values, 'only' | 'kind'>,
  most = Number.POSITIVE_INFINITY,
): number {
  const value = Number(values[name]);
  if (!(value >= 0 && value <= most)) throw new RangeError(`"${name}" expected a number from 0 to ${most}`);
  return value;
}

const [mutations, seconds, seed] = [numberOf('mutations'), numberOf('seconds'), numberOf('seed')];
const [limit, saves] = [numberOf('processor'), numberOf('saving')];

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
    const reply = await next(child, PATIENCE.clock, () => child.send({ name, seed }), PATIENCE.processor);
    if (typeof reply === 'object') {
      const { milliseconds, memory } = reply;
      if (memory <= MEMORY && milliseconds <= limit) return reply;
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
      execArgv: ['--max-old-space-size=512', '--import', typescript],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    child.stderr?.setEncoding('utf8');
    this.#child = child;
    const reply = await next(child, STARTING);
    if (reply === 'ready') return child;
    throw new Error(`the process that opens files does not start: ${JSON.stringify(reply)}`);
  }
}

/** Milliseconds of the processor that a process has had: fields 14 and 15 of proc(5), a hundredth of a second each. */
function processorOf(child: ChildProcess): number {
  try {
    const stat = readFileSync(`/proc/${child.pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return 10 * (Number(fields[11]) + Number(fields[12]));
  } catch {
    return 0;
  }
}

/**
 * The next message of a process, or what became of it.
 * @param patience milliseconds on the clock
 * @param processor milliseconds of the processor, where the system tells them
 */
function next(
  child: ChildProcess,
  patience: number,
  send?: () => void,
  processor = Number.POSITIVE_INFINITY,
): Promise<Answer | string> {
  return new Promise((resolve) => {
    let printed = '';
    const onText = (text: string) => {
      printed = (printed + text).slice(-2000);
    };
    const finish = (result: Answer | string) => {
      clearTimeout(timer);
      clearInterval(watch);
      child.off('message', finish).off('exit', onExit);
      child.stderr?.off('data', onText);
      resolve(result);
    };
    const onExit = (code: number | null, signal: string | null) =>
      finish(`the process ended with ${signal ?? `status ${code}`}: ${printed}`);
    const timer = setTimeout(() => finish(`still busy after ${patience} ms`), patience);
    const before = processorOf(child);
    const watch = setInterval(() => {
      if (processorOf(child) - before > processor)
        finish(`still busy after ${processor} ms of the processor`);
    }, 1000);
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
    `FAILED ${name}: ${detail}\n  again: node --import ./scripts/lib/typescript.js scripts/fuzz.ts --seed ${seed} --only '${name}'\n`,
  );
}

const wanted = (kind: string) => values.kind === undefined || values.kind === kind;
const known = ['files', 'saving', ...FUZZ_KINDS.map(({ name }) => name)];
if (!known.some(wanted))
  throw new RangeError(`"kind" expected one of ${known.join(', ')}, got ${values.kind}`);

const others = FUZZ_KINDS.filter(({ name }) => wanted(name)).map(({ name, cases }) =>
  Array.from({ length: Math.ceil(cases * numberOf('share', 1)) }, (_, n) => `${name}:${n}`),
);
const names =
  values.only === undefined
    ? spread(
        wanted('files') ? caseNames(await loadSamples(), mutations, numberOf('truncations')) : [],
        ...others,
      )
    : [values.only];
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

/** Saves are killed, fail and run out of space, in processes and folders of their own. */
async function save(): Promise<string[]> {
  const begun = performance.now();
  const { failures: lost, skipped, slowest, ...counts } = await runSavingCases({ rounds: saves, seed });
  for (const fault of lost) failures.push({ name: 'saving', detail: fault });
  for (const fault of lost) process.stdout.write(`FAILED saving: ${fault}\n`);
  const { faults, killed, full, fitted, together, processes } = counts;
  const count = faults + killed + full + fitted + together + processes;
  const memory = `${Math.round(process.resourceUsage().maxRSS / 2 ** 10)} MB`;
  return [
    `${count} saving: at most ${slowest.milliseconds.toFixed()} ms of the processor (${slowest.name}), ${memory}, ${((performance.now() - begun) / 1000).toFixed(1)} s in all`,
    `  ${Object.entries(counts)
      .map(([what, n]) => `${n} ${what}`)
      .join(', ')}`,
    ...skipped.map((reason) => `  not tried: ${reason}`),
  ];
}

const isSaving = values.only === undefined && wanted('saving') && saves > 0 && failures.length < 100;
const saving = isSaving ? await save() : [];

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
    ...saving,
    ...table,
    `${failures.length} failed`,
    '',
  ].join('\n'),
);
process.exitCode = failures.length > 0 ? 1 : 0;
