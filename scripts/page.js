#!/usr/bin/env node
// @ts-check
// The page in page/: makes what it needs, builds it into page/dist, serves it on 127.0.0.1.
//
//   node scripts/page.js [build|serve|dev] [OPTION]...     serve without one; options go to vite's server
//   node scripts/page.js build --out build/page            into a folder below build/
//
// BITNIBBLE_PAGE_URL and BITNIBBLE_DOCS_URL (docs/PAGE.md) go into what is built.
// Its packages are its own (page/package-lock.json), so that installing the library stays quick. Only what is out of
// date is done again.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { alone, fail, hashOf, npm, root, run, timed } from './lib/project.js';

const modes = ['build', 'serve', 'dev'];
const [first = '', ...rest] = process.argv.slice(2);
const isMode = modes.includes(first);
const asked = isMode ? first : 'serve';
const options = isMode ? rest : process.argv.slice(2);
const [flag, given = ''] = options;
const isOut = options.length === 2 && flag === '--out' && /^build[\\/][\w-]+$/.test(given);
if (
  (first !== '' && !isMode && !first.startsWith('-')) ||
  (asked === 'build' && options.length > 0 && !isOut)
) {
  fail('usage: node scripts/page.js [build [--out build/NAME]|serve|dev] [OPTION]...');
}
const out = asked === 'build' && isOut ? given.replaceAll('\\', '/') : 'page/dist';
const folder = path.join(root, 'page');
const vite = path.join(folder, 'node_modules', 'vite', 'bin', 'vite.js');

/** @param {string} stamp @param {string} wanted */
const isDone = (stamp, wanted) => existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted;

/** @param {string} stamp @param {string} content */
function writeStamp(stamp, content) {
  mkdirSync(path.dirname(stamp), { recursive: true });
  writeFileSync(stamp, content);
}

async function install() {
  const stamp = path.join(folder, 'node_modules', '.bitnibble-setup');
  const wanted = hashOf(['page/package.json', 'page/package-lock.json']);
  if (isDone(stamp, wanted)) return;
  const result = await timed("page: installing the page's packages (npm ci)", () =>
    npm(['ci', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: folder }),
  );
  if (result.status !== 0) fail("page: the page's packages could not be installed", result.output);
  writeStamp(stamp, wanted);
}

async function build() {
  const stamp = path.join(
    root,
    'build',
    out === 'page/dist' ? '.setup-page' : `.setup-${path.basename(out)}`,
  );
  const inputs = ['index.html', 'package-lock.json', 'public', 'src', 'tsconfig.json', 'vite.config.ts'];
  const { BITNIBBLE_PAGE_URL: url = '', BITNIBBLE_DOCS_URL: docs = '' } = process.env;
  const state = () =>
    JSON.stringify([
      hashOf([
        ...inputs.map((file) => `page/${file}`),
        ...['src', 'examples/digits', 'package.json', 'package-lock.json', out],
      ]),
      ...[url, docs],
    ]);
  if (isDone(stamp, state())) return;
  const types = await timed('page: checking types', () =>
    run(process.execPath, ['node_modules/typescript/bin/tsc', '--project', 'page/tsconfig.json']),
  );
  if (types.status !== 0) fail('page: the types are wrong', types.output);
  const built = await timed(`page: building ${out}`, () =>
    run(
      process.execPath,
      [vite, 'build', '--logLevel', 'warn', '--outDir', path.join(root, out), '--emptyOutDir'],
      {
        cwd: folder,
      },
    ),
  );
  if (built.status !== 0) fail('page: it cannot be built', built.output);
  writeStamp(stamp, state());
}

const setup = await run(process.execPath, ['scripts/setup.js', 'wasm']);
if (setup.status !== 0) fail('page: the library could not be set up', setup.output);
// Tests ask for the page at the same time, each in a process of its own; a build empties page/dist.
await alone('page', async () => {
  await install();
  if (asked !== 'dev') await build();
});
if (asked !== 'build') {
  const args = asked === 'serve' ? ['preview'] : [];
  const server = spawn(process.execPath, [vite, ...args, ...options], { cwd: folder, stdio: 'inherit' });
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM']))
    process.on(signal, () => server.kill(signal));
  server.on('exit', (code) => {
    process.exitCode = code ?? 1;
  });
}
