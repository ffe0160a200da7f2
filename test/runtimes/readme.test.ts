// The snippets of README.md, run as they stand there: in Node.js, in a page, in a Worker.
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

async function inNode(after: string): Promise<{ folder: string; stdout: string }> {
  const folder = emptyProject(modules);
  const { code } = await transform(snippetOf(after, 'ts'), { loader: 'ts', format: 'esm' });
  writeFileSync(path.join(folder, 'snippet.js'), code);
  cpSync(path.join(root, 'examples/digits/digits.h5'), path.join(folder, 'model.h5'));
  const images = path.join(root, 'examples/digits/calibration-images-idx3-ubyte.gz');
  cpSync(images, path.join(folder, 'images-idx3-ubyte.gz'));
  const { status, stdout, output } = await run(process.execPath, ['snippet.js'], { cwd: folder });
  assert.is(status, 0, output);
  return { folder, stdout };
}

test('in a build step', async () => {
  const { folder, stdout } = await inNode('**In a build step**');
  const [, before, after] = /^(\d+) bytes of weights become (\d+)\n$/.exec(stdout) ?? [];
  assert.is(Number(before), 4 * 69_146);
  assert.ok(Number(after) > 69_146 / 2 && Number(after) < 38_000, stdout);
  assert.equal(new Uint8Array(readFileSync(path.join(folder, 'model.safetensors'))), await packedDigits());
});

test('with samples of your data', async () => {
  const { folder, stdout } = await inNode('**With samples of your data**');
  const [, calibrated, plain] = /^outputs diverge by ([\d.e-]+), by rounding ([\d.e-]+)$/m.exec(stdout) ?? [];
  assert.ok(Number(calibrated) < 0.1 * Number(plain), stdout);
  assert.ok(readFileSync(path.join(folder, 'one-bit.safetensors')).length < 30_000);
});

test('in research', async () => {
  const { stdout } = await inNode('**In research**');
  assert.match(stdout, /^\d\d\.\d dB, largest error 0\.0\d+\n$/);
});

/** Bundles a snippet, runs it in a page, and gives what it printed and what `epilogue`, appended to it, left. */
async function inPage<T>(chromium: string, after: string, epilogue: string): Promise<[string[], T]> {
  const folder = emptyProject(modules);
  writeFileSync(path.join(folder, 'snippet.ts'), `${snippetOf(after, 'ts')}\n${epilogue}`);
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
    const page = await browser.newPage();
    const printed: string[] = [];
    const faults: string[] = [];
    page.on('console', (message) => printed.push(message.text()));
    page.on('pageerror', (error) => faults.push(error.message));
    await page.goto(`${server.origin}/index.html`);
    // The snippet awaits at its top level: the value is there when it is done.
    const got = () => page.evaluate(() => (globalThis as unknown as { left?: T }).left);
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
  const epilogue = 'Object.assign(globalThis, { left: await scores.array() });';
  const [printed, scores] = await inPage<number[][]>(chromium, '**In a page**: the file', epilogue);
  assert.equal(
    printed.filter((line) => / bytes$/.test(line)).at(-1),
    `${(await packedDigits()).length} of ${(await packedDigits()).length} bytes`,
  );
  assert.is(scores[0]?.length, 10);
  assert.ok(Math.abs((scores[0] as number[]).reduce((a, b) => a + b) - 1) < 1e-5);
});

need(test, 'chromium')('in a page, without TensorFlow.js', async ({ chromium }) => {
  const epilogue = 'Object.assign(globalThis, { left: true });';
  const [printed] = await inPage<boolean>(chromium, '**In a page, without TensorFlow.js**', epilogue);
  assert.is(printed.length, 18);
  assert.ok(printed.includes('dense1/kernel 32768'));
  assert.is(printed.at(-1), 'one 144');
});

need(test, 'workerd')('at the edge', async ({ workerd }) => {
  const folder = emptyProject();
  writeFileSync(path.join(folder, 'worker.ts'), snippetOf('**At the edge**', 'ts'));
  writeFileSync(path.join(folder, 'model.safetensors'), await packedDigits());
  await build({
    ...{ entryPoints: [path.join(folder, 'worker.ts')], outfile: path.join(folder, 'worker.js') },
    ...{ bundle: true, format: 'esm', logLevel: 'warning', external: ['*.wasm', '*.safetensors'] },
  });
  const wasm = { 'bitnibble/reader.wasm': 'node_modules/bitnibble/build/reader.wasm' };
  const data = { 'model.safetensors': 'model.safetensors' };
  const worker = await startWorker(workerd, folder, 'worker.js', wasm, data);
  try {
    const response = await worker.fetch('http://worker/');
    assert.match(await response.text(), /^17 weights, the first value is -?0\.\d+$/);
  } finally {
    await worker.stop();
  }
});

test.run();
