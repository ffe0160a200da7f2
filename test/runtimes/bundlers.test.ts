// A small app, built by the command lines of docs/RUNTIMES.md with no configuration, decodes a packed file in Chromium.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { need, run } from '../support/needs.js';
import { launch, resultOf } from './support/chromium.js';
import { packedDigits } from './support/digits.js';
import { emptyProject, snippetOf } from './support/project.js';
import { serve } from './support/server.js';

const test = suite('bundlers');

/** Both entries, and what they embed. */
const EMBEDDED = `
import { loadKernels, openPacked } from 'bitnibble';
import { loadDecoder, streamPacked } from 'bitnibble/reader';

const kernels = await loadKernels();
const found = {};
for (const decoder of [await loadDecoder(), kernels, await loadKernels({ backend: 'reference' })]) {
  for await (const { id, values } of streamPacked(await fetch('/model.safetensors'), decoder)) {
    found[id] = (found[id] ?? 0) + values.length;
  }
}
const bytes = new Uint8Array(await (await fetch('/model.safetensors')).arrayBuffer());
found.sum = openPacked(bytes, kernels).read('dense1/kernel').reduce((sum, value) => sum + Math.abs(value), 0);
`;

/** The modules as files, which these find by \`new URL\`. */
const FILES = `
const compiled = (url) => WebAssembly.compileStreaming(fetch(url));
const files = {
  kernels: await loadKernels({ module: await compiled(new URL('bitnibble/kernels.wasm', import.meta.url)) }),
  reader: await loadDecoder({ module: await compiled(new URL('bitnibble/reader.wasm', import.meta.url)) }),
};
for (const [name, decoder] of Object.entries(files)) {
  found[name] = openPacked(bytes, decoder).read('dense1/kernel').length;
}
`;

/** esbuild finds them as imports, with its loader for files. */
const IMPORTS = `
import kernelsUrl from 'bitnibble/kernels.wasm';
import readerUrl from 'bitnibble/reader.wasm';
${FILES.replace(/new URL\('bitnibble\/(\w+)\.wasm', import\.meta\.url\)/g, 'new URL($1Url, import.meta.url)')}`;

/** Networks on one thread and on two: the same bits, and the second thread computes some of them. */
const THREADS = `
import { loadNetwork } from 'bitnibble/runtime';

const model = () => fetch('/model.safetensors');
const one = await loadNetwork(model());
const two = await loadNetwork(model(), { threads: 2 });
const pixels = Float32Array.from({ length: 784 }, (_, i) => (i % 29) / 29);
const found = { different: 0 };
const end = performance.now() + 30_000;
do {
  const wanted = one.run(pixels);
  two.run(pixels).forEach((score, i) => { if (score !== wanted[i]) found.different++; });
} while (two.summary().threads.helped === 0 && performance.now() < end);
found.helped = Math.min(1, two.summary().threads.helped);
`;

/** Command lines of a page of the documentation, by the bundler's name. */
const commandsOf = (after: string, page: string) =>
  new Map(
    snippetOf(after, 'sh', page)
      .trim()
      .split('\n')
      .map((line) => line.replace(/ #.*/, '').split(' '))
      .map(([npx, name, ...args]) => {
        assert.is(npx, 'npx');
        return [name as string, args];
      }),
  );
const commands = commandsOf('Bundlers need no configuration', 'docs/RUNTIMES.md');
/** Those that have to be told of the file of a thread. */
const toldCommands = commandsOf('esbuild and Rollup have to be given it', 'docs/RUNTIME.md');

interface App {
  readonly name: string;
  readonly source: string;
  readonly extra: readonly string[];
  readonly kind?: 'files' | 'threads';
}

const apps: readonly App[] = [
  ...[...commands.keys()].map((name) => ({ name, source: EMBEDDED, extra: [] })),
  { name: 'vite', source: EMBEDDED + FILES, extra: [], kind: 'files' },
  { name: 'webpack', source: EMBEDDED + FILES, extra: [], kind: 'files' },
  { name: 'esbuild', source: EMBEDDED + IMPORTS, extra: ['--loader:.wasm=file'], kind: 'files' },
  ...[...commands.keys()].map((name) => ({
    ...{ name, source: THREADS, extra: [], kind: 'threads' as const },
  })),
];

const withBoth = need(test, 'bundlers', 'chromium');

const KINDS = { files: ', the modules as files', threads: ', two threads' };

for (const { name, source, extra, kind } of apps) {
  const title = name + (kind ? KINDS[kind] : '');
  withBoth(title, async ({ bundlers, chromium }) => {
    const modules = path.join(bundlers, 'node_modules');
    const project = emptyProject(modules);
    mkdirSync(path.join(project, 'src'));
    const app = `${source}\nfound.done = 1;\nresolve(found);`;
    const page = '<!doctype html><meta charset="utf-8"><title>App</title><script src="globals.js"></script>';
    writeFileSync(path.join(project, 'src/index.js'), app);
    writeFileSync(
      path.join(project, 'index.html'),
      `${page}<script type="module" src="/src/index.js"></script>`,
    );
    const bin = path.join(modules, '.bin', name);
    const told = kind === 'threads' ? toldCommands.get(name) : undefined;
    const args = [...(told ?? (commands.get(name) as string[])), ...extra];
    const { status, output } = await run(process.execPath, [bin, ...args], {
      cwd: project,
      timeout: 120_000,
    });
    assert.is(status, 0, output);

    const dist = path.join(project, 'dist');
    if (name !== 'vite') {
      const script = readdirSync(dist).find((file) => /^(main|index)\.js$/.test(file));
      writeFileSync(path.join(dist, 'index.html'), `${page}<script type="module" src="${script}"></script>`);
    }
    writeFileSync(
      path.join(dist, 'globals.js'),
      'globalThis.result = new Promise((resolve) => { globalThis.resolve = resolve; });',
    );
    writeFileSync(path.join(dist, 'model.safetensors'), await packedDigits());
    const server = await serve(dist, false, kind === 'threads' ? 'isolated' : 'plain');
    const browser = await launch(chromium);
    try {
      const url = `${server.origin}/index.html`;
      const found = await resultOf<Record<string, number>>(browser, url, 'result');
      assert.is(found.done, 1);
      if (kind === 'threads') assert.equal(found, { different: 0, helped: 1, done: 1 });
      else {
        assert.is(found['dense1/kernel'], 3 * 32768);
        assert.is(Object.keys(found).length, 17 + 2 + (kind ? 2 : 0));
        assert.ok((found.sum as number) > 100);
        if (kind) assert.equal([found.kernels, found.reader], [32768, 32768]);
      }
      const { version } = JSON.parse(readFileSync(path.join(modules, name, 'package.json'), 'utf8'));
      process.stdout.write(`\nRAN: an app built by ${name} ${version}${title.slice(name.length)}\n`);
    } finally {
      await browser.close();
      server.close();
    }
  });
}

test('docs/RUNTIMES.md names the four, docs/RUNTIME.md those that have to be told of threads', () => {
  assert.equal([...commands.keys()], ['vite', 'webpack', 'rollup', 'esbuild']);
  assert.equal([...toldCommands.keys()], ['rollup', 'esbuild']);
});

test.run();
