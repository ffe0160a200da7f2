#!/usr/bin/env node
// @ts-check
// What has to hold after every change: format and lint, then types and, beside them, the quick tests.
//
//   node scripts/check.js
import { spawn } from 'node:child_process';
import { npm, root } from './lib/project.js';

/** @param {string} name of a script of package.json */
async function step(name) {
  const start = performance.now();
  const { status, output } = await npm(['run', '--silent', name]);
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  return { ok: status === 0, text: `${status === 0 ? 'ok  ' : 'FAIL'} ${name} (${seconds} s)\n`, output };
}

/** The tests print as they go; of the models that they share, a few of each kind. @returns {Promise<boolean>} */
const tests = () =>
  new Promise((resolve) => {
    const env = { ...process.env, BITNIBBLE_FEW: '1' };
    const child = spawn(process.execPath, ['scripts/test.js', '--quick', '--together'], {
      cwd: root,
      stdio: 'inherit',
      env,
    });
    child.on('error', () => resolve(false)).on('close', (code) => resolve(code === 0));
  });

const lint = await step('lint');
process.stdout.write(lint.text);
if (lint.ok) {
  const types = step('typecheck').then((done) => {
    process.stdout.write(done.text);
    return done;
  });
  const passed = await tests();
  const { ok, output } = await types;
  // Behind the tests, where it is seen.
  if (!ok) process.stdout.write(`\n${output.trimEnd()}\nfailed: npm run typecheck\n`);
  process.exitCode = passed && ok ? 0 : 1;
} else {
  process.stdout.write(`\n${lint.output.trimEnd()}\n`);
  process.exitCode = 1;
}
