#!/usr/bin/env node
// @ts-check
// Fetches Node.js 24 into ~/.cache/bitnibble/node24, for the tests that run under it, and prints its path.
// It comes from the npm registry, as one of the binary packages behind the package `node`. It does not become a
// dependency: a `node` in node_modules/.bin would take the place of yours in every npm script.
//
//   node scripts/node24.js
import { existsSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { cacheDir, fail, node24Path, node24Version, npm, run, timed } from './lib/project.js';

const binary = node24Path();
const works = async () => (await run(binary, ['--version'])).stdout.startsWith('v24.');

if (!(existsSync(binary) && (await works()))) {
  if (process.env.BITNIBBLE_NODE24) fail(`node24: $BITNIBBLE_NODE24 (${binary}) is not a Node.js 24`);
  const prefix = path.join(cacheDir, 'node24');
  const name = path.basename(path.dirname(path.dirname(binary)));
  mkdirSync(prefix, { recursive: true });
  const flags = [
    '--no-save',
    '--no-package-lock',
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
  ];
  const result = await timed(`node24: fetching ${name}@${node24Version}`, () =>
    npm(['install', '--prefix', prefix, ...flags, `${name}@${node24Version}`], { cwd: prefix }),
  );
  if (result.status !== 0 || !(await works())) fail('node24: Node.js 24 could not be fetched', result.output);
}
process.stdout.write(`${binary}\n`);
