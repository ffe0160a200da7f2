// The runner is what turns a silent pass into a failure, so it is tried on test files that pass silently.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { root, run } from '../support/needs.js';

const test = suite('scripts/test.js');

// Inside the project, so that the files find uvu.
const scratch = () => {
  mkdirSync(path.join(root, 'build'), { recursive: true });
  return mkdtempSync(path.join(root, 'build', 'runner-'));
};

const passing = "import { test } from 'uvu';\ntest('a', () => {});\ntest('b', () => {});\ntest.run();\n";

async function runTests(files: Record<string, string>, ...args: string[]) {
  const folder = scratch();
  try {
    for (const [name, source] of Object.entries(files)) {
      mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
      writeFileSync(path.join(folder, name), source);
    }
    const { status, stdout } = await run(process.execPath, ['scripts/test.js', '--dir', folder, ...args]);
    return { status, stdout, last: stdout.trimEnd().split('\n').at(-1) ?? '' };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('adds up what passed', async () => {
  const { status, last } = await runTests({
    'a.test.ts': passing,
    'deep/b.test.ts': passing,
    'no-test.ts': '!',
  });
  assert.is(last, '4 passed, 0 failed, 0 skipped');
  assert.is(status, 0);
});

test('leaves out what was not asked for', async () => {
  const files = { 'a.test.ts': passing, 'slow/b.test.ts': '!', 'runtimes/c.test.ts': '!' };
  assert.is((await runTests(files, '--quick')).last, '2 passed, 0 failed, 0 skipped');
  assert.is((await runTests(files, 'a.test')).last, '2 passed, 0 failed, 0 skipped');
  const none = await runTests(files, 'nothing-like-it');
  assert.is(none.status, 1);
});

test('fails when a required file is gone', async () => {
  const files = { 'a.test.ts': passing };
  assert.is((await runTests(files, '--require', 'a')).status, 0);
  const { status, last } = await runTests(files, '--require', 'b');
  assert.is(last, '2 passed, 1 failed, 0 skipped');
  assert.is(status, 1);
});

test('together: files share a process, and what fails there has the last word alone', async () => {
  const first =
    "import { test } from 'uvu';\nconst isFirst = !globalThis.seen;\nglobalThis.seen = true;\n" +
    "test('is alone', () => { if (!isFirst) throw new Error('not alone'); });\ntest.run();\n";
  const five = Object.fromEntries(['a', 'b', 'c', 'd', 'e'].map((name) => [`${name}.test.ts`, first]));
  assert.is((await runTests(five, '--together')).last, '5 passed, 0 failed, 0 skipped');
  const saying = `console.log('RAN: process ' + process.pid);\n${passing}`;
  const six = Object.fromEntries(['a', 'b', 'c', 'd', 'e', 'f'].map((name) => [`${name}.test.ts`, saying]));
  const processes = async (...args: string[]) =>
    new Set([...(await runTests(six, ...args)).stdout.matchAll(/process \d+/g)].map(String)).size;
  assert.is(await processes(), 6);
  assert.ok((await processes('--together')) <= 4);
  const ends = passing.replace("'b', () => {}", "'b', () => process.exit(0)");
  const throws = "setTimeout(() => { throw new Error('stray'); });\nawait new Promise(() => {});\n";
  const { status, stdout, last } = await runTests(
    { 'a.test.ts': ends, 'b.test.ts': throws, 'c.test.ts': passing },
    '--together',
  );
  assert.is(status, 1);
  assert.match(stdout, 'stray');
  assert.is(last, '2 passed, 2 failed, 0 skipped');
});

const failing: [what: string, source: string, message: string][] = [
  ['a failed test', passing.replace("'b', () => {}", "'b', () => { throw new Error('boom'); }"), 'boom'],
  ['a forgotten .run()', passing.replace('test.run();', ''), 'test.run() is missing'],
  [
    'a suite without .run()',
    `import { suite } from 'uvu';\n${passing}const s = suite('s');\n`,
    's.run() is missing',
  ],
  ['a test left on .only', passing.replace("test('a'", "test.only('a'"), 'leaves the other tests out'],
  [
    'a hook that throws',
    passing.replace('test.run', "test.before(() => { throw new Error('x'); });\ntest.run"),
    'a hook threw',
  ],
  ['a file without tests', "import { test } from 'uvu';\ntest.run();\n", 'it ran no test'],
  ['a file that is no test', 'export {};\n', 'it printed no total'],
  ['an error while loading', "throw new Error('bang');\n", 'bang'],
  [
    'an error after the tests',
    `${passing}process.on('exit', () => { process.exitCode = 3; });\n`,
    'status 3',
  ],
  ['an early exit', passing.replace("'b', () => {}", "'b', () => process.exit(0)"), 'it printed no total'],
  ['a skip without a reason', passing.replace("test('a'", "test.skip('a'"), 'skipped without a reason'],
];

// All in one run, since each file is a process.
const fileOf = (index: number) => `fault-${index}.test.ts`;
let faulty = { status: 0, stdout: '', last: '' };

test.before(async () => {
  faulty = await runTests(Object.fromEntries(failing.map(([, source], index) => [fileOf(index), source])));
});

for (const [index, [what, , message]] of failing.entries()) {
  test(`counts ${what} as a failure`, () => {
    const [, report = ''] = faulty.stdout.split(`FAIL ${fileOf(index)} (`);
    assert.match(report, /^\d passed, [12] failed/, faulty.stdout);
    assert.match(report.split(/^(?:ok|FAIL) /m, 1)[0] ?? '', message);
    assert.is(faulty.status, 1);
  });
}

test('lists skipped tests with their reasons', async () => {
  const source = 'process.stderr.write(\'SKIPPED: "a" because of the moon\\n\');\n';
  const files = { 'a.test.ts': source + passing.replace("test('a'", "test.skip('a'") };
  const { status, stdout, last } = await runTests(files);
  assert.is(last, '1 passed, 0 failed, 1 skipped');
  assert.match(stdout, 'a.test.ts: "a" because of the moon');
  assert.is(status, 0);
});

test.run();
