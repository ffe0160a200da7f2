// Puts small faults into src, one at a time, and counts how many of them a test notices: docs/TESTING.md.
//
//   npm run mutate -- src/packed/plan.ts src/schemes    files and folders
//   npm run mutate -- --change                          lines that are not committed yet, else those of the last commit
//   npm run mutate -- --since COMMIT                    lines that differ from a commit
//
//   --everywhere     hold them against every quick test that imports the file, not only those of its room, test/<room>/, that
//                    need no Python
//   --tests NAME     only test files whose path contains NAME
//   --at-least N     end with status 1 where less than N percent are noticed
//   --list           print what became of every mutant
//
// Nothing is written to src: tests import files with all mutants in them from a temporary folder, one mutant active at a time.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { transformSync } from 'esbuild';
import { type Chosen, changedSince, lastChange, named, testsOf } from './lib/mutate-choose.js';
import { instrument, type Mutant } from './lib/mutate-mutants.js';
import { Runner } from './lib/mutate-pool.js';
import { typeChecker } from './lib/mutate-types.js';
import { fail, root } from './lib/project.js';

type Status = 'noticed' | 'timeout' | 'survived' | 'unreached' | 'equivalent' | 'refused';

interface Fault extends Mutant {
  readonly id: number;
  readonly file: string;
  readonly line: number;
  /** The whole line, trimmed, and `old -> new`. */
  readonly context: string;
  readonly change: string;
  status: Status;
  by: string;
}

/** A mutant that changes nothing that could be seen: `scripts/mutants-equivalent.json`. */
interface Equivalent {
  readonly file: string;
  /** The line that it stands on, trimmed. */
  readonly line: string;
  readonly change: string;
  readonly reason: string;
}

/** Milliseconds. */
const STARTING = 60_000;
const BASELINE = 120_000;
const patience = (expected: number) => 5000 + 10 * expected;
/** How often more than without it a mutant may be come by before that counts as an endless loop. */
const patientHits = (times: number) => 10_000 + 100 * times;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    change: { type: 'boolean' },
    since: { type: 'string' },
    everywhere: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    tests: { type: 'string', default: '' },
    'at-least': { type: 'string', default: '0' },
  },
});
const atLeast = Number(values['at-least']);
if (!(atLeast >= 0 && atLeast <= 100)) fail('"--at-least" expected a number from 0 to 100');

function choose(): Chosen {
  try {
    if (values.since !== undefined) return changedSince(values.since);
    if (values.change) return lastChange();
    if (positionals.length === 0) fail('usage: npm run mutate -- FILE... | --change | --since COMMIT');
    return named(positionals);
  } catch (error) {
    return fail((error as Error).message);
  }
}

const short = (text: string) => {
  const line = text.replace(/\s+/g, ' ').trim();
  return line.length > 70 ? `${line.slice(0, 67)}...` : line;
};

/** Writes the files with mutants in them to `folder`. */
function makeFaults(chosen: Chosen, folder: string): Fault[] {
  const faults: Fault[] = [];
  for (const [file, lines] of chosen) {
    const source = readFileSync(path.join(root, file), 'utf8');
    const first = faults.length;
    const { mutants, code } = instrument(source, file, first, (line) => lines?.has(line) ?? true);
    const texts = source.split('\n');
    for (const [i, mutant] of mutants.entries()) {
      const line = source.slice(0, mutant.start).split('\n').length;
      const change = `${short(source.slice(mutant.start, mutant.end))} -> ${short(mutant.replacement) || 'nothing'}`;
      const context = String(texts[line - 1]).trim();
      faults.push({ ...mutant, id: first + i, file, line, context, change, status: 'unreached', by: '' });
    }
    const place = path.join(folder, `${file}.js`);
    mkdirSync(path.dirname(place), { recursive: true });
    const js = transformSync(code, {
      loader: 'ts',
      format: 'esm',
      target: 'node20',
      sourcefile: path.join(root, file),
      tsconfigRaw: { compilerOptions: { target: 'es2022', verbatimModuleSyntax: true } },
    });
    writeFileSync(place, js.code);
  }
  return faults;
}

interface Test {
  readonly index: number;
  readonly file: string;
  readonly name: string;
  milliseconds: number;
  readonly reached: Map<number, number>;
}

class Session {
  readonly tests: Test[] = [];
  /** Mutants that are come by while files are imported. */
  readonly atImport = new Set<number>();
  readonly files: string[];
  readonly loading = new Map<string, number>();

  constructor(
    readonly folder: string,
    files: readonly string[],
  ) {
    this.files = [...files];
  }

  /** Runs every test without any mutant. */
  async baseline(): Promise<void> {
    let runner = new Runner(this.folder, values.everywhere);
    for (const file of this.files) {
      const start = performance.now();
      const answer = await runner.ask({ kind: 'load', file, active: -1 }, STARTING);
      if (!answer || answer.error)
        fail(`${file} cannot be imported: ${answer?.error ?? 'its process ended'}`);
      this.loading.set(file, performance.now() - start);
      for (const id of answer.reached) this.atImport.add(id);
      for (const name of answer.tests)
        this.tests.push({ index: this.tests.length, file, name, milliseconds: 0, reached: new Map() });
    }
    for (const test of this.tests) {
      const answer = await runner.ask({ kind: 'baseline', index: test.index }, BASELINE);
      if (!answer || answer.error) {
        const why = answer ? 'it fails when run twice' : `it takes more than ${BASELINE / 1000} s`;
        const tail = answer ? `: ${answer.error}` : '';
        process.stdout.write(`left out, since ${why}: ${test.file}: "${test.name}"${tail}\n`);
        if (!answer) runner = await this.ready();
        continue;
      }
      test.milliseconds = answer.milliseconds;
      for (const [id, times] of answer.reached) test.reached.set(id, times);
    }
    runner.stop();
  }

  async ready(): Promise<Runner> {
    const runner = new Runner(this.folder, values.everywhere);
    for (const file of this.files) await runner.ask({ kind: 'load', file, active: -1 }, STARTING);
    return runner;
  }

  /** Tests that come by it while they run, in a process where others were active before. */
  async tryHot(runner: Runner, fault: Fault, isFresh: boolean): Promise<'again' | undefined> {
    const tests = this.tests
      .filter(({ reached }) => reached.has(fault.id))
      .sort((a, b) => a.milliseconds - b.milliseconds);
    if (tests.length === 0) return;
    const expected = tests.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
    const hits = patientHits(Math.max(...tests.map(({ reached }) => reached.get(fault.id) as number)));
    const request = {
      kind: 'mutant',
      active: fault.id,
      tests: tests.map(({ index }) => index),
      hits,
    } as const;
    const answer = await runner.ask(request, patience(expected));
    if (answer?.isSpoilt) {
      // The failure may be of an earlier mutant's making: once more, in a new process.
      runner.stop();
      if (!isFresh) return 'again';
    }
    if (!answer) Object.assign(fault, { status: 'timeout', by: 'ended or took too long' });
    else if (answer.killedBy !== undefined)
      Object.assign(fault, { status: 'noticed', by: `${answer.killedBy}: ${answer.error}` });
    else fault.status = 'survived';
    return undefined;
  }

  /** All tests of files, in a process in which it is active from the start. */
  async tryCold(fault: Fault): Promise<void> {
    const cost = (file: string) =>
      this.tests
        .filter((test) => test.file === file)
        .reduce((sum, test) => sum + test.milliseconds, this.loading.get(file) ?? 0);
    const runner = new Runner(this.folder, values.everywhere);
    let count = 0;
    fault.status = 'survived';
    for (const file of [...this.files].sort((a, b) => cost(a) - cost(b))) {
      const answer = await runner.ask({ kind: 'load', file, active: fault.id }, STARTING);
      const usable = this.tests.filter((test) => test.file === file && test.milliseconds > 0);
      if (!answer || answer.error) {
        Object.assign(fault, { status: 'noticed', by: `${file} cannot be imported` });
        break;
      }
      // Tests are numbered as the process imports them.
      const first = Math.min(...this.tests.filter((test) => test.file === file).map(({ index }) => index));
      const tests = usable
        .sort((a, b) => a.milliseconds - b.milliseconds)
        .map(({ index }) => count + index - first);
      count += answer.tests.length;
      const result = await runner.ask(
        { kind: 'mutant', active: fault.id, tests, hits: 0 },
        patience(cost(file)),
      );
      if (!result) Object.assign(fault, { status: 'timeout', by: 'ended or took too long' });
      else if (result.killedBy !== undefined)
        Object.assign(fault, { status: 'noticed', by: `${result.killedBy}: ${result.error}` });
      if (fault.status !== 'survived') break;
    }
    runner.stop();
  }
}

/** `work` for each, on every core. */
async function onCores<T>(
  items: readonly T[],
  makeWorker: () => (item: T) => Promise<void>,
  end?: () => void,
) {
  const queue = [...items];
  const count = Math.min(queue.length, Math.max(1, Math.min(8, availableParallelism())));
  await Promise.all(
    Array.from({ length: count }, async () => {
      const work = makeWorker();
      for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item);
    }),
  );
  end?.();
}

async function tryAll(session: Session, faults: readonly Fault[]): Promise<void> {
  const runners = new Set<Runner>();
  let done = 0;
  const progress = ({ file, line, change, status }: Fault) => {
    if (status === 'survived') process.stderr.write(`${file}:${line}: ${change}\n`);
    if (++done % 50 === 0) process.stderr.write(`${done} of ${faults.length}\n`);
  };
  await onCores(faults, () => {
    let runner: Runner | undefined;
    return async (fault) => {
      for (let isFresh = false; ; isFresh = true) {
        if (!runner || runner.isOver) {
          if (runner) runners.delete(runner);
          runner = await session.ready();
          runners.add(runner);
        }
        if ((await session.tryHot(runner, fault, isFresh)) === undefined) break;
      }
      progress(fault);
    };
  });
  for (const runner of runners) runner.stop();
  const rest = faults.filter(({ id, status }) => isLeft(status) && session.atImport.has(id));
  await onCores(rest, () => (fault) => session.tryCold(fault));
}

const isLeft = (status: Status) => status === 'survived' || status === 'unreached';

/** Takes out what the type check refuses and what was looked at and changes nothing. */
function takeOut(faults: readonly Fault[], chosen: Chosen): string[] {
  const isRefused = typeChecker();
  for (const fault of faults.filter(({ status }) => isLeft(status))) {
    const source = readFileSync(path.join(root, fault.file), 'utf8');
    const { start, end, replacement } = fault;
    if (isRefused(fault.file, source.slice(0, start) + replacement + source.slice(end)))
      fault.status = 'refused';
  }
  const list: Equivalent[] = JSON.parse(
    readFileSync(path.join(root, 'scripts', 'mutants-equivalent.json'), 'utf8'),
  );
  const wrong: string[] = [];
  for (const { file, line, change } of list.filter((entry) => chosen.has(entry.file))) {
    const same = faults.filter(
      (fault) => fault.file === file && fault.context === line && fault.change === change,
    );
    if (same.length === 0 && chosen.get(file) === undefined)
      wrong.push(`no such mutant: ${file}: ${line}: ${change}`);
    if (same.length > 0 && !same.some(({ status }) => isLeft(status)))
      wrong.push(`listed as equivalent, but noticed: ${file}: ${line}: ${change}`);
    for (const fault of same) if (isLeft(fault.status)) fault.status = 'equivalent';
  }
  return wrong;
}

function report(
  faults: readonly Fault[],
  tests: readonly Test[],
  wrong: readonly string[],
  seconds: number,
): number {
  const count = (some: readonly Fault[], ...wanted: Status[]) =>
    some.filter(({ status }) => wanted.includes(status)).length;
  const score = (some: readonly Fault[]) => {
    const noticed = count(some, 'noticed', 'timeout');
    const all = noticed + count(some, 'survived', 'unreached');
    return { noticed, all, percent: all === 0 ? 100 : (100 * noticed) / all };
  };
  for (const { file, line, change, context, status, by } of faults) {
    if (values.list) process.stdout.write(`${status} ${file}:${line}: ${change}${by ? `  (${by})` : ''}\n`);
    else if (isLeft(status))
      process.stdout.write(
        `${file}:${line}: ${change}  (${status === 'survived' ? 'survived' : 'no test comes by'})\n    ${context}\n`,
      );
  }
  if (values.list)
    for (const { milliseconds, name } of tests)
      process.stdout.write(`${milliseconds.toFixed(0)} ms: ${name}\n`);
  process.stdout.write('\n');
  for (const file of new Set(faults.map((fault) => fault.file))) {
    const { noticed, all, percent } = score(faults.filter((fault) => fault.file === file));
    process.stdout.write(`${percent.toFixed(1).padStart(5)} %  ${file}: ${noticed} of ${all}\n`);
  }
  for (const text of wrong) process.stdout.write(`mutants-equivalent.json: ${text}\n`);
  const { noticed, all, percent } = score(faults);
  process.stdout.write(
    `\n${percent.toFixed(1)} % of ${all} mutants noticed (${noticed}; ${count(faults, 'timeout')} of them by time), ${all - noticed} not; ` +
      `besides ${count(faults, 'equivalent')} equivalent, ${count(faults, 'refused')} refused by the type check; ${seconds.toFixed(0)} s\n`,
  );
  return percent;
}

const start = performance.now();
const chosen = choose();
if (chosen.size === 0) {
  process.stdout.write('nothing to change: no line of src\n');
  process.exit();
}
const folder = mkdtempSync(path.join(tmpdir(), 'bitnibble-mutate-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130));

const faults = makeFaults(chosen, folder);
const testFiles = testsOf(chosen.keys(), values.everywhere).filter((file) => file.includes(values.tests));
if (testFiles.length === 0) fail('no test imports these files');
process.stdout.write(
  `${faults.length} mutants in ${chosen.size} files, held against ${testFiles.length} test files\n`,
);
const session = new Session(folder, testFiles);
await session.baseline();
await tryAll(session, faults);
const wrong = takeOut(faults, chosen);
const percent = report(faults, session.tests, wrong, (performance.now() - start) / 1000);
process.exit(percent < atLeast || wrong.length > 0 ? 1 : 0);
