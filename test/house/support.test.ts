// docs/SUPPORT.md says what the code does with the fixtures and, where they are there, with published files.
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
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

test.run();
