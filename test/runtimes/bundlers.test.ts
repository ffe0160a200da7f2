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

const commands = new Map(
  snippetOf('Bundlers need no configuration', 'sh', 'docs/RUNTIMES.md')
    .trim()
    .split('\n')
    .map((line) => line.replace(/ #.*/, '').split(' '))
    .map(([npx, name, ...args]) => {
      assert.is(npx, 'npx');
      return [name as string, args];
    }),
);

const apps = [
  ...[...commands.keys()].map((name) => ({ name, source: EMBEDDED, extra: [] as string[], files: false })),
  { name: 'vite', source: EMBEDDED + FILES, extra: [], files: true },
  { name: 'webpack', source: EMBEDDED + FILES, extra: [], files: true },
  { name: 'esbuild', source: EMBEDDED + IMPORTS, extra: ['--loader:.wasm=file'], files: true },
];

const withBoth = need(test, 'bundlers', 'chromium');

for (const { name, source, extra, files } of apps) {
  const title = files ? `${name}, the modules as files` : name;
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
    const args = [...(commands.get(name) as string[]), ...extra];
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
    const server = await serve(dist);
    const browser = await launch(chromium);
    try {
      const url = `${server.origin}/index.html`;
      const found = await resultOf<Record<string, number>>(browser, url, 'result');
      assert.is(found.done, 1);
      assert.is(found['dense1/kernel'], 3 * 32768);
      assert.is(Object.keys(found).length, 17 + 2 + (files ? 2 : 0));
      assert.ok((found.sum as number) > 100);
      if (files) assert.equal([found.kernels, found.reader], [32768, 32768]);
      const { version } = JSON.parse(readFileSync(path.join(modules, name, 'package.json'), 'utf8'));
      process.stdout.write(
        `\nRAN: an app built by ${name} ${version}${files ? ', the modules as files' : ''}\n`,
      );
    } finally {
      await browser.close();
      server.close();
    }
  });
}

test('docs/RUNTIMES.md names the four', () =>
  assert.equal([...commands.keys()], ['vite', 'webpack', 'rollup', 'esbuild']));

test.run();
