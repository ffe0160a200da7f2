// The snippets of README.md and of the pages that it leads to, run as they stand there: in Node.js, in a page, in a Worker.
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { build, transform } from 'esbuild';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { need, root, run } from '../support/needs.js';
import { launch } from './support/chromium.js';
import { packedDigits } from './support/digits.js';
import { emptyProject, snippetOf } from './support/project.js';
import { serve } from './support/server.js';
import { startWorker } from './support/workerd.js';

const test = suite('README.md');
const modules = path.join(root, 'node_modules');

async function inNode(after: string, page?: string): Promise<{ folder: string; stdout: string }> {
  const folder = emptyProject(modules);
  const { code } = await transform(snippetOf(after, 'ts', page), { loader: 'ts', format: 'esm' });
  writeFileSync(path.join(folder, 'snippet.js'), code);
  cpSync(path.join(root, 'examples/digits/digits.h5'), path.join(folder, 'model.h5'));
  const images = path.join(root, 'examples/digits/calibration-images-idx3-ubyte.gz');
  cpSync(images, path.join(folder, 'images-idx3-ubyte.gz'));
  const { status, stdout, output } = await run(process.execPath, ['snippet.js'], { cwd: folder });
  assert.is(status, 0, output);
  return { folder, stdout };
}

test('in a build step', async () => {
  const { folder, stdout } = await inNode('**In a build step**', 'docs/COMMANDS.md');
  const [, before, after] = /^(\d+) bytes of weights become (\d+)\n$/.exec(stdout) ?? [];
  assert.is(Number(before), 4 * 69_146);
  assert.ok(Number(after) > 69_146 / 2 && Number(after) < 38_000, stdout);
  assert.equal(new Uint8Array(readFileSync(path.join(folder, 'model.safetensors'))), await packedDigits());
});

test('in Node.js', async () => {
  const { folder, stdout } = await inNode('**In Node.js**');
  const [, calibrated, plain] = /^outputs diverge by ([\d.e-]+), by rounding ([\d.e-]+)$/m.exec(stdout) ?? [];
  assert.ok(Number(calibrated) < 0.1 * Number(plain), stdout);
  assert.ok(readFileSync(path.join(folder, 'one-bit.safetensors')).length < 30_000);
});

test('in research', async () => {
  const { stdout } = await inNode('**In research**');
  assert.match(stdout, /^\d\d\.\d dB, largest error 0\.0\d+\n$/);
});

/** Bundles a snippet, runs it in a page, and gives what it printed and what `epilogue`, appended to it, left. */
async function inPage<T>(
  chromium: string,
  [after, page]: readonly [after: string, page: string],
  epilogue: string,
): Promise<[string[], T]> {
  const folder = emptyProject(modules);
  writeFileSync(path.join(folder, 'snippet.ts'), `${snippetOf(after, 'ts', page)}\n${epilogue}`);
  await build({
    ...{ entryPoints: [path.join(folder, 'snippet.ts')], outfile: path.join(folder, 'snippet.js') },
    ...{ bundle: true, format: 'esm', logLevel: 'warning', external: ['node:*'] },
  });
  writeFileSync(path.join(folder, 'model.safetensors'), await packedDigits());
  const html =
    '<!doctype html><meta charset="utf-8"><title>Test</title><link rel="icon" href="data:,"><script type="module" src="snippet.js"></script>';
  writeFileSync(path.join(folder, 'index.html'), html);
  const server = await serve(folder);
  const browser = await launch(chromium);
  try {
    const tab = await browser.newPage();
    const printed: string[] = [];
    const faults: string[] = [];
    tab.on('console', (message) => printed.push(message.text()));
    tab.on('pageerror', (error) => faults.push(error.message));
    await tab.goto(`${server.origin}/index.html`);
    // The snippet awaits at its top level: the value is there when it is done.
    const got = () => tab.evaluate(() => (globalThis as unknown as { left?: T }).left);
    let left = await got();
    for (let i = 0; i < 300 && left === undefined && faults.length === 0; i++) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      left = await got();
    }
    assert.equal(faults, []);
    assert.ok(left !== undefined, `the snippet did not end; it printed ${printed.join('; ')}`);
    return [printed, left as T];
  } finally {
    await browser.close();
    server.close();
  }
}

need(test, 'chromium')('in a page', async ({ chromium }) => {
  const epilogue = 'Object.assign(globalThis, { left: [...scores] });';
  const [printed, scores] = await inPage<number[]>(chromium, ['**In a page**', 'README.md'], epilogue);
  assert.is(scores.length, 10);
  assert.ok(Math.abs(scores.reduce((a, b) => a + b) - 1) < 1e-5);
  assert.is(printed.at(-1), `class ${scores.indexOf(Math.max(...scores))}`);
});

need(test, 'chromium')('in a page, with TensorFlow.js', async ({ chromium }) => {
  const epilogue = 'Object.assign(globalThis, { left: await scores.array() });';
  const [printed, scores] = await inPage<number[][]>(chromium, ['**In a page**', 'docs/TFJS.md'], epilogue);
  assert.equal(
    printed.filter((line) => / bytes$/.test(line)).at(-1),
    `${(await packedDigits()).length} of ${(await packedDigits()).length} bytes`,
  );
  assert.is(scores[0]?.length, 10);
  assert.ok(Math.abs((scores[0] as number[]).reduce((a, b) => a + b) - 1) < 1e-5);
});

need(test, 'chromium')('weights in a page', async ({ chromium }) => {
  const epilogue = 'Object.assign(globalThis, { left: true });';
  const [printed] = await inPage<boolean>(chromium, ['**Weights in a page.**', 'docs/RUNTIMES.md'], epilogue);
  assert.is(printed.length, 18);
  assert.ok(printed.includes('dense1/kernel 32768'));
  assert.is(printed.at(-1), 'one 144');
});

/** Starts a Worker of a snippet, with the demo model and one module beside it. */
async function inWorkerd(workerd: string, [after, page]: readonly [string, string], module: string) {
  const folder = emptyProject();
  writeFileSync(path.join(folder, 'worker.ts'), snippetOf(after, 'ts', page));
  writeFileSync(path.join(folder, 'model.safetensors'), await packedDigits());
  await build({
    ...{ entryPoints: [path.join(folder, 'worker.ts')], outfile: path.join(folder, 'worker.js') },
    ...{ bundle: true, format: 'esm', logLevel: 'warning', external: ['*.wasm', '*.safetensors'] },
  });
  const wasm = { [`bitnibble/${module}`]: `node_modules/bitnibble/build/${module}` };
  return startWorker(workerd, folder, 'worker.js', wasm, { 'model.safetensors': 'model.safetensors' });
}

need(test, 'workerd')('at the edge', async ({ workerd }) => {
  const worker = await inWorkerd(workerd, ['**At the edge**', 'README.md'], 'runtime.wasm');
  try {
    const body = new Uint8Array(new Float32Array(784).buffer);
    const response = await worker.fetch('http://worker/', { method: 'POST', body });
    const scores = (await response.json()) as number[];
    assert.is(scores.length, 10);
    assert.ok(Math.abs(scores.reduce((a, b) => a + b) - 1) < 1e-5);
  } finally {
    await worker.stop();
  }
});

need(test, 'workerd')('weights at the edge', async ({ workerd }) => {
  const worker = await inWorkerd(workerd, ['**Weights at the edge.**', 'docs/RUNTIMES.md'], 'reader.wasm');
  try {
    const response = await worker.fetch('http://worker/');
    assert.match(await response.text(), /^17 weights, the first value is -?0\.\d+$/);
  } finally {
    await worker.stop();
  }
});

test.run();
