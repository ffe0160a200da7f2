// `npm run mutate` from end to end, on one small file.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { root, run, typescript } from '../support/needs.js';

const FILE = 'src/schemes/finite.ts';
const mutate = (...args: string[]) =>
  run(process.execPath, ['--import', typescript, path.join(root, 'scripts', 'mutate.ts'), ...args], {
    timeout: 600_000,
  });

test('faults of a file are counted, and the file is as it was', async () => {
  const before = readFileSync(path.join(root, FILE));
  const { status, stdout, output } = await mutate(FILE, '--tests', 'schemes/decode', '--list');
  assert.is(status, 0, output);
  assert.match(stdout, /^\d+ mutants in 1 files, held against 1 test files$/m);
  assert.match(stdout, /^noticed src\/schemes\/finite\.ts:\d+: at < 0 -> at <= 0/m);
  assert.match(stdout, /^\s*\d+\.\d %\s+src\/schemes\/finite\.ts: \d+ of \d+$/m);
  assert.match(stdout, /\d+\.\d % of \d+ mutants noticed/);
  assert.equal(readFileSync(path.join(root, FILE)), before);
});

test('too few noticed, and wrong arguments, end with status 1', async () => {
  const few = await mutate(FILE, '--tests', 'schemes/golden', '--at-least', '100');
  assert.is(few.status, 1, few.output);
  assert.match(few.stdout, /\(survived\)|\(no test comes by\)/);
  for (const args of [[], ['src/nothing.ts'], [FILE, '--at-least', '101'], [FILE, '--tests', 'x/y/z']])
    assert.is((await mutate(...args)).status, 1, args.join(' '));
});

test.run();
