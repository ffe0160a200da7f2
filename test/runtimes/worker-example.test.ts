// examples/worker in workerd, Deno and Bun: right answers, and what the first one costs in workerd.
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { build } from 'esbuild';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { need, root, run } from '../support/needs.js';
import { packedDigits, testDigits } from './support/digits.js';
import { children, cpuMilliseconds, peakMegabytes } from './support/process.js';
import { emptyProject } from './support/project.js';
import { startServer } from './support/shell-server.js';
import { startWorker } from './support/workerd.js';

const test = suite('examples/worker');
const COUNT = 50;
const { pixels, labels } = testDigits(COUNT);

async function exampleProject(): Promise<string> {
  const project = emptyProject(path.join(root, 'node_modules'));
  cpSync(path.join(root, 'examples/worker'), project, { recursive: true });
  writeFileSync(path.join(project, 'digits.safetensors'), await packedDigits());
  return project;
}

type Ask = (body: Uint8Array<ArrayBuffer>) => Promise<Response>;

/** Asks for every digit; the last are right as often as the network is. */
async function answers(ask: Ask, runtime: string): Promise<void> {
  let right = 0;
  for (const [i, label] of labels.entries()) {
    const response = await ask(pixels.slice(784 * i, 784 * (i + 1)));
    assert.is(response.status, 200);
    const { class: found, scores } = (await response.json()) as { class: number; scores: number[] };
    assert.is(scores.length, 10);
    assert.ok(Math.abs(scores.reduce((a, b) => a + b) - 1) < 1e-4);
    if (found === label) right++;
  }
  assert.ok(right >= COUNT - 2, `${runtime}: ${right} of ${COUNT} digits are right`);
  const short = await ask(new Uint8Array(3));
  assert.is(short.status, 400);
  assert.match(await short.text(), /expected 784 bytes, one for each pixel, got 3/);
  process.stdout.write(`\nRAN: ${COUNT} digits in ${runtime}, ${right} right\n`);
}

need(test, 'workerd')('workerd: 50 ms to the first answer, far below 128 MB', async ({ workerd }) => {
  const project = await exampleProject();
  await build({
    ...{ entryPoints: [path.join(project, 'worker.ts')], outfile: path.join(project, 'worker.js') },
    ...{ bundle: true, minify: true, format: 'esm', logLevel: 'warning' },
    external: ['*.wasm', '*.safetensors'],
  });
  writeFileSync(path.join(project, 'hello.js'), 'export default { fetch: () => new Response("hello") };');
  const simd = '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-simd.wasm';
  const wasm = {
    [simd]: `node_modules/${simd}`,
    'bitnibble/reader.wasm': 'node_modules/bitnibble/build/reader.wasm',
  };
  const data = { 'digits.safetensors': 'digits.safetensors' };
  const digit = { method: 'POST', body: pixels.slice(0, 784) };

  /** CPU until the Worker is there, and of its first answer; memory. */
  const costs = async (main: string, isChecked = false) => {
    const worker = await startWorker(workerd, project, main, wasm, data);
    try {
      await worker.ready;
      const [pid] = children('workerd');
      assert.ok(pid, 'workerd runs');
      const started = cpuMilliseconds(pid);
      const response = await worker.fetch('http://worker/', digit);
      assert.is(response.status, 200);
      await response.text();
      const answered = cpuMilliseconds(pid) - started;
      if (isChecked)
        await answers(
          (body) => worker.fetch('http://worker/', { method: 'POST', body }),
          `workerd ${worker.version}`,
        );
      return { started, answered, megabytes: peakMegabytes(pid) };
    } finally {
      await worker.stop();
    }
  };
  if (process.platform !== 'linux') throw new Error('CPU and memory are measured on Linux only');
  const hello = await costs('hello.js');
  const worker = await costs('worker.js', true);
  // Other processes only ever add to what is measured, so of three starts the cheapest counts.
  const others = [await costs('worker.js'), await costs('worker.js')];
  const least = (key: 'started' | 'answered') =>
    Math.min(worker[key], ...others.map((other) => other[key])) - hello[key];
  const [start, answer] = [least('started'), least('answered')];
  const memory = worker.megabytes - hello.megabytes;
  const shown = `start ${start.toFixed(0)} ms, first answer ${answer.toFixed(0)} ms of CPU, ${memory.toFixed(0)} MiB`;
  process.stdout.write(`\nRAN: examples/worker in workerd: ${shown}, an empty Worker taken off\n`);
  assert.ok(answer < 50, shown);
  assert.ok(memory < 64, shown);
});

need(test, 'deno')('Deno', async ({ deno }) => {
  const project = await exampleProject();
  const args = ['run', '--no-prompt', '--allow-read', '--allow-env', '--allow-net=127.0.0.1', 'deno.ts'];
  await startServer(deno, args, project, (ask) => answers(ask, 'Deno'));
});

need(test, 'bun')('Bun', async ({ bun }) => {
  const project = await exampleProject();
  await startServer(bun, ['run', 'bun.ts'], project, (ask) => answers(ask, 'Bun'));
});

test('the model is made by the command of its README', async () => {
  const project = await exampleProject();
  const { scripts } = JSON.parse(readFileSync(path.join(root, 'examples/worker/package.json'), 'utf8'));
  const [command, ...args] = (scripts.model as string).split(' ');
  assert.is(command, 'bitnibble');
  cpSync(path.join(root, 'examples/digits/digits.h5'), path.join(project, 'digits/digits.h5'));
  const folder = path.join(project, 'worker');
  cpSync(path.join(root, 'examples/worker'), folder, { recursive: true });
  const cli = path.join(project, 'node_modules/bitnibble/dist/cli/main.js');
  const { status, output } = await run(process.execPath, [cli, ...args], { cwd: folder });
  assert.is(status, 0, output);
  assert.equal(
    new Uint8Array(readFileSync(path.join(folder, 'digits.safetensors'))),
    await packedDigits(true),
  );
});

test.run();
