#!/usr/bin/env node
// @ts-check
// Runs the test files, each in a process of its own, and adds up what they report.
//
//   node scripts/test.js [--quick] [--together] [--require NAME]... [--dir FOLDER] [NAME]...
//
//   NAME             only files whose path below test/ contains NAME
//   --quick          leave out test/slow/ and test/runtimes/, and run the command line from its source; else from dist/
//   --together       run many files in one process, which saves a third of the time; what fails there is run again alone
//   --dir FOLDER     look there instead of in test/
//   --require NAME   fail unless a file whose path contains NAME ran and passed at least one test
//
// The files that took longest the last time go first: build/.test-seconds.json.
// A line `RAN: ...` that a test prints is shown with its file: how many tests ran in another runtime.
// uvu exits with 0 when `.run()` was forgotten, when a `before` hook threw and when a test was left on `.only`,
// and never prints a number of failures. So this reads its totals and trusts nothing else.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { parseArgs, stripVTControlCharacters } from 'node:util';
import { fail, root, run, typescript, walk } from './lib/project.js';
import { SharedProcess } from './lib/shared-process.js';
import { compileAll } from './lib/typescript-hooks.js';

const timeout = 15 * 60_000;
const slow = /^(slow|runtimes)\//;
const secondsFile = path.join(root, 'build', '.test-seconds.json');

/** @typedef {{ file: string, passed: number, failed: number, skipped: number, reasons: string[], output: string, seconds: number }} Result */

/** What is wrong with a test file before it runs: a suite that never runs and one narrowed to `.only` pass silently. @param {string} source */
function faultsOf(source) {
  const suites = [...source.matchAll(/^\s*(?:const|let)\s+(\w+)\s*=\s*suite\b/gm)].map((match) =>
    String(match[1]),
  );
  if (/^import\s*\{[^}]*\btest\b[^}]*\}\s*from\s*'uvu'/m.test(source)) suites.push('test');
  const faults = [];
  for (const name of suites) {
    if (!source.includes(`${name}.run()`))
      faults.push(`suite "${name}" is never run: ${name}.run() is missing`);
    if (new RegExp(`^\\s*${name}\\.only\\(`, 'm').test(source))
      faults.push(`${name}.only(...) leaves the other tests out`);
  }
  return faults;
}

/** @param {string} output @param {string} label */
const numberAfter = (output, label) => {
  const all = [...output.matchAll(new RegExp(`^ {2}${label}: +(\\d+)$`, 'gm'))];
  return all.length === 1 ? Number(all[0]?.[1]) : undefined;
};

/** @typedef {{ status: number, stdout: string, output: string }} Ran */

/** A file in a process of its own. @param {string} full @param {NodeJS.ProcessEnv} env @returns {Promise<Ran>} */
const alone = (full, env) => run(process.execPath, ['--import', typescript, full], { env, timeout });

/**
 * @param {string} file
 * @param {(full: string, env: NodeJS.ProcessEnv) => Promise<Ran>} how
 * @returns {Promise<Result>}
 */
async function runFile(file, how) {
  const start = performance.now();
  const full = path.join(folder, file);
  const env = {
    ...process.env,
    NO_COLOR: '1',
    FORCE_COLOR: '0',
    ...(values.quick ? {} : { BITNIBBLE_DIST: '1' }),
  };
  const { status, stdout, output: raw } = await how(full, env);
  const output = stripVTControlCharacters(raw);
  const seconds = (performance.now() - start) / 1000;
  const faults = faultsOf(readFileSync(full, 'utf8'));

  const summary = stripVTControlCharacters(stdout);
  const total = numberAfter(summary, 'Total');
  const passed = numberAfter(summary, 'Passed') ?? 0;
  const skipped = numberAfter(summary, 'Skipped') ?? 0;
  let failed = (total ?? 0) - passed;
  const reasons = [...output.matchAll(/^SKIPPED: (.*)$/gm)].map((match) => String(match[1]));
  if (total === undefined) faults.push('it printed no total: was .run() called, did it end early?');
  else if (total === 0 && skipped === 0) faults.push('it ran no test');
  if (failed > 0 && status === 0) faults.push('a hook threw, which uvu hides');
  if (failed === 0 && status !== 0) faults.push(`it ended with status ${status}`);
  if (skipped > reasons.length) faults.push(`${skipped - reasons.length} tests skipped without a reason`);
  if (faults.length > 0) failed = Math.max(failed, 1);
  const notes = faults.map((fault) => `  ${file}: ${fault}\n`).join('');
  return { file, passed, failed, skipped, reasons, output: output + notes, seconds };
}

/** @param {Result} result */
function report({ file, passed, failed, skipped, output, seconds }) {
  const counts = [`${passed} passed`, failed && `${failed} failed`, skipped && `${skipped} skipped`];
  process.stdout.write(
    `${failed ? 'FAIL' : 'ok  '} ${file} (${counts.filter(Boolean).join(', ')}; ${seconds.toFixed(1)} s)\n`,
  );
  for (const [, ran] of output.matchAll(/^RAN: (.*)$/gm)) process.stdout.write(`     ${ran}\n`);
  if (failed) process.stdout.write(`${output.trimEnd().replace(/^/gm, '     ')}\n\n`);
}

/** @param {string[]} files @returns {Promise<Result[]>} */
async function runAll(files) {
  const before = readSeconds();
  const expected = (/** @type {string} */ file) => before[file] ?? (slow.test(file) ? 1000 : 0);
  const queue = [...files].sort((a, b) => expected(b) - expected(a));
  /** @type {Result[]} */
  const results = [];
  const worker = async () => {
    const shared = values.together ? new SharedProcess(timeout) : undefined;
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
      let result = shared && (await runFile(file, (full, env) => shared.run(full, env)));
      if (!result || result.failed > 0) {
        shared?.close();
        result = await runFile(file, alone);
      }
      report(result);
      results.push(result);
    }
    shared?.close();
  };
  await Promise.all(Array.from({ length: Math.min(4, availableParallelism()) }, worker));
  if (isOwn) keepSeconds({ ...before, ...Object.fromEntries(results.map((r) => [r.file, r.seconds])) });
  return results;
}

/** What each file took the last time. @returns {Record<string, number>} */
function readSeconds() {
  try {
    return isOwn ? JSON.parse(readFileSync(secondsFile, 'utf8')) : {};
  } catch {
    return {};
  }
}

/** @param {Record<string, number>} seconds */
function keepSeconds(seconds) {
  mkdirSync(path.dirname(secondsFile), { recursive: true });
  writeFileSync(secondsFile, JSON.stringify(seconds));
}

function readArguments() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        dir: { type: 'string', default: 'test' },
        quick: { type: 'boolean' },
        together: { type: 'boolean' },
        require: { type: 'string', multiple: true },
      },
    });
  } catch (error) {
    fail(
      `${/** @type {Error} */ (error).message}\nusage: node scripts/test.js [--quick] [--together] [--require NAME]... [--dir FOLDER] [NAME]...`,
    );
  }
}

const { values, positionals } = readArguments();
const folder = path.resolve(root, values.dir);
const isOwn = values.dir === 'test';
const files = walk(folder)
  .filter((file) => file.endsWith('.test.ts'))
  .filter((file) => !(values.quick && slow.test(file)))
  .filter((file) => positionals.length === 0 || positionals.some((name) => file.includes(name)));
if (files.length === 0) fail('no test file matches');

if (isOwn) {
  const full = (/** @type {string} */ name) =>
    walk(path.join(root, name)).map((file) => path.join(root, name, file));
  await compileAll(['src', 'test', 'scripts'].flatMap(full).filter((file) => file.endsWith('.ts')));
}
const results = await runAll(files);
const skips = results.flatMap(({ file, reasons }) => reasons.map((reason) => `  ${file}: ${reason}`));
if (skips.length > 0) process.stdout.write(`\nskipped:\n${skips.join('\n')}\n`);

/** @param {'passed' | 'failed' | 'skipped'} key */
const sum = (key) => results.reduce((total, result) => total + result[key], 0);
let failed = sum('failed');
for (const name of values.require ?? []) {
  if (results.some((result) => result.file.includes(name) && result.passed > 0)) continue;
  process.stdout.write(`FAIL --require ${name}: no such test passed\n`);
  failed += 1;
}
const broken = results.filter((result) => result.failed > 0).map((result) => result.file);
if (broken.length > 0) process.stdout.write(`\nfailed: ${broken.join(', ')}\n`);
process.stdout.write(`\n${sum('passed')} passed, ${failed} failed, ${sum('skipped')} skipped\n`);
process.exitCode = failed > 0 ? 1 : 0;
