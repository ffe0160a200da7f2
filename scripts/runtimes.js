#!/usr/bin/env node
// @ts-check
// Fetches what runs the tests of other runtimes, from the npm registry, into ~/.cache/bitnibble: Deno, Bun, miniflare with
// workerd, the bundlers, ONNX Runtime for Node.js and the web, and LiteRT.js. They do not become dependencies: together they take a
// gigabyte that `npm ci` would wait for.
// Chromium comes from the system (apt-get install chromium); $BITNIBBLE_CHROMIUM names another.
//
//   node scripts/runtimes.js [NAME]...      names as printed; all without one
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fail, npm, run, runtimes, timed } from './lib/project.js';

const asked = process.argv.slice(2);
for (const name of asked) {
  if (!(name in runtimes)) fail(`runtimes: expected ${Object.keys(runtimes).join(', ')}; got ${name}`);
}

for (const [name, { folder, packages, versionOf }] of Object.entries(runtimes)) {
  if (asked.length > 0 && !asked.includes(name)) continue;
  const wanted = packages.join('\n');
  const stamp = path.join(folder, '.bitnibble-packages');
  const works = async () => {
    for (const [command = '', ...args] of versionOf) {
      if ((await run(command, args, { timeout: 60_000 })).status !== 0) return false;
    }
    return true;
  };
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted && (await works())) {
    process.stdout.write(`runtimes: ${name} is up to date\n`);
    continue;
  }
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, 'package.json'), '{ "private": true, "type": "module" }\n');
  const flags = ['--no-package-lock', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  const result = await timed(`runtimes: fetching ${packages.join(' ')}`, () =>
    npm(['install', ...flags, ...packages], { cwd: folder }),
  );
  if (result.status !== 0 || !(await works())) fail(`runtimes: ${name} could not be fetched`, result.output);
  writeFileSync(stamp, wanted);
}
