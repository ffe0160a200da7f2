// docs/SUPPORT.md says what the code does with the fixtures and, where they are there, with published files.
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { OPERATIONS } from '../../src/network/operations/index.js';
import { root, typescript } from '../support/needs.js';

const script = path.join(root, 'scripts', 'support-table.ts');
const run = promisify(execFile);

test('the support table is up to date', async () => {
  const args = ['--import', typescript, script, '--check'];
  const problem = await run(process.execPath, args).then(
    () => '',
    (error) => `${error.stdout}${error.stderr}`,
  );
  assert.is(problem, '');
});

test('every operation of the table is in it; who computes each is said, and each is computed by somebody', () => {
  const document = readFileSync(path.join(root, 'docs/SUPPORT.md'), 'utf8');
  const section = document.split('\n## Operations\n')[1]?.split('\n## ')[0] ?? '';
  const rows = section
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .slice(1);
  const cells = rows.map((row) => row.slice(2, -2).split(' | '));
  assert.equal(
    cells.map(([name]) => name),
    Object.keys(OPERATIONS).sort(),
  );
  const nobodys = cells.filter(([, ...computed]) => !computed.slice(0, 3).includes('yes'));
  assert.equal(nobodys, []);
});

test.run();
