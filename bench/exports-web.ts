// LiteRT models in LiteRT.js in Chromium, one thread, one sample at a time: outputs of every model, and milliseconds in turns.
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { chromium } from 'playwright-core';
import { chromiumPath, litertJsDir } from '../scripts/lib/project.js';

const PAGE = `<!doctype html><meta charset="utf-8"><title>Bench</title>
<script type="importmap">{ "imports": { "@litertjs/wasm-utils": "./wasm-utils.js" } }</script>
<script type="module">
import { loadAndCompile, loadLiteRt, Tensor } from './litert.js';
globalThis.measured = (async () => {
  await loadLiteRt(new URL('.', location.href).href);
  const bytesOf = async (file) => (await fetch(file)).arrayBuffer();
  const { models, shape, rounds } = await (await fetch('told.json')).json();
  const inputs = new Float32Array(await bytesOf('x.f32'));
  const size = shape.reduce((product, length) => product * length, 1);
  const samples = inputs.length / size;
  const [answers, opened, faults] = [[], [], []];
  for (let i = 0; i < models; i++) {
    const bytes = new Uint8Array(await bytesOf(i + '.tflite'));
    try {
      const model = await loadAndCompile(bytes, { accelerator: 'wasm' });
      const [{ name }] = model.getInputDetails();
      const answer = async (at) => {
        const from = (at % samples) * size;
        const tensor = new Tensor(inputs.slice(from, from + size), [1, ...shape]);
        const [result, ...others] = Object.values(await model.run({ [name]: tensor }));
        const values = result.toTypedArray().slice();
        for (const one of [result, ...others, tensor]) one.delete();
        return values;
      };
      await answer(0);
      answers.push(answer);
      opened.push(i);
    } catch (error) {
      faults.push([i, error.message]);
    }
  }
  const times = answers.map(() => []);
  for (let round = -3; round < rounds; round++)
    for (const [i, answer] of answers.entries()) {
      await answer(round + 3);
      const start = performance.now();
      await answer(round + 3);
      if (round >= 0) times[i].push(performance.now() - start);
    }
  const outputs = [];
  for (const answer of answers) {
    const own = [];
    for (let i = 0; i < samples; i++) own.push(...(await answer(i)));
    outputs.push(own);
  }
  return { opened, faults, times, outputs };
})();
</script>`;

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.wasm': 'application/wasm',
};

/** Outputs of every model that runs for all inputs, one after the other, and milliseconds of each in each round. */
export interface InPage {
  /** Places of the models that ran. */
  readonly opened: readonly number[];
  /** Those that did not, and why. */
  readonly faults: readonly (readonly [place: number, message: string])[];
  readonly outputs: readonly (readonly number[])[];
  readonly times: readonly (readonly number[])[];
}

/**
 * Runs models in a page.
 * @param inputs a file of float32, samples of a shape one after the other
 */
export async function inLiteRtJs(
  models: readonly string[],
  inputs: string,
  shape: readonly number[],
  rounds: number,
): Promise<InPage> {
  const site = mkdtempSync(path.join(tmpdir(), 'bitnibble-exports-page-'));
  const put = (from: string, name: string) => copyFileSync(from, path.join(site, name));
  put(path.join(litertJsDir(), 'core/dist/index.js'), 'litert.js');
  put(path.join(litertJsDir(), 'wasm-utils/dist/index.js'), 'wasm-utils.js');
  const wasm = path.join(litertJsDir(), 'core/wasm');
  for (const file of readdirSync(wasm)) put(path.join(wasm, file), file);
  for (const [i, file] of models.entries()) put(file, `${i}.tflite`);
  put(inputs, 'x.f32');
  writeFileSync(path.join(site, 'told.json'), JSON.stringify({ models: models.length, shape, rounds }));
  writeFileSync(path.join(site, 'index.html'), PAGE);
  const server = createServer((request, response) => {
    const file = path.basename(new URL(request.url ?? '/', 'http://localhost').pathname);
    try {
      const body = readFileSync(path.join(site, file));
      response.setHeader('content-type', TYPES[path.extname(file)] ?? 'application/octet-stream');
      response.end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const browser = await chromium.launch({ executablePath: chromiumPath(), chromiumSandbox: false });
  try {
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/index.html`);
    page.setDefaultTimeout(0);
    await page.waitForFunction('globalThis.measured');
    return await page.evaluate<InPage>('globalThis.measured');
  } finally {
    await browser.close();
    server.close();
    rmSync(site, { recursive: true, force: true });
  }
}
