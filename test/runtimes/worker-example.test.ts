// examples/worker in workerd, Deno and Bun: the answers of TensorFlow.js in Node.js, and what the first costs in workerd.
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { build, type Plugin } from 'esbuild';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openNetwork } from '../../examples/worker/network.js';
import { loadKernels } from '../../src/kernels/index.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { openPacked, packedBytes, QuantizedModel } from '../../src/packed/index.js';
import { packedHandler } from '../../src/tfjs/index.js';
import { need, root, run } from '../support/needs.js';
import { packedDigits, testDigits } from './support/digits.js';
import { children, childrenOf, cpuMilliseconds, peakMegabytes } from './support/process.js';
import { emptyProject } from './support/project.js';
import { startServer } from './support/shell-server.js';
import { startWorker } from './support/workerd.js';

const test = suite('examples/worker');
const COUNT = 50;
const MODELS = ['int4', 'binary', 'other layers'] as const;
type Model = (typeof MODELS)[number];
const { pixels, labels } = testDigits(COUNT);

/** The demo model with an architecture that `change` makes of its own; of JSON, so that it can be changed as text too. */
async function changed(change: (architecture: string) => string): Promise<QuantizedModel> {
  const kernels = await loadKernels();
  const packed = openPacked(await packedDigits(true), kernels);
  const architecture = JSON.parse(change(JSON.stringify(packed.architecture)));
  return new QuantizedModel({ ...packed, architecture }, packed.weights, kernels);
}

/** Every layer and activation of the example that the demo model has not; nonsense, but the same nonsense everywhere. */
function otherLayers(text: string): string {
  const architecture = JSON.parse(text.replaceAll('MaxPooling2D', 'AveragePooling2D'));
  const { layers } = architecture.config;
  const flatten = layers.findIndex((layer: { class_name: string }) => layer.class_name === 'Flatten');
  const plain = { trainable: true, dtype: 'float32' };
  architecture.config.layers = [
    ...layers.slice(0, flatten),
    {
      class_name: 'GlobalAveragePooling2D',
      config: { ...plain, name: 'mean', data_format: 'channels_last', keepdims: false },
    },
    { class_name: 'Activation', config: { ...plain, name: 'scores', activation: 'softmax' } },
  ];
  const activations = ['elu', 'tanh', 'sigmoid'];
  return JSON.stringify(architecture).replaceAll('"relu"', () => JSON.stringify(activations.pop() ?? 'relu'));
}

async function packedModel(model: Model): Promise<Uint8Array<ArrayBuffer>> {
  if (model !== 'other layers') return packedDigits(true, model);
  return packedBytes(await changed(otherLayers)) as Uint8Array<ArrayBuffer>;
}

async function exampleProject(): Promise<string> {
  const project = emptyProject(path.join(root, 'node_modules'));
  cpSync(path.join(root, 'examples/worker'), project, { recursive: true });
  writeFileSync(path.join(project, 'digits.safetensors'), await packedModel('int4'));
  return project;
}

/** The scores of every digit, by TensorFlow.js's layers in Node.js. */
async function wantedScores(model: Model): Promise<number[][]> {
  const { tf } = await loadTensorFlow();
  const network = await tf.loadLayersModel(packedHandler(await packedModel(model), { tf }));
  const images = tf.tensor(
    Float32Array.from(pixels, (p) => p / 255),
    [COUNT, 28, 28, 1],
  );
  return (await (network.predict(images) as ReturnType<typeof tf.tensor>).array()) as number[][];
}

const classOf = (scores: readonly number[]) => scores.indexOf(Math.max(...scores));

type Ask = (body: Uint8Array<ArrayBuffer>) => Promise<Response>;

/** Asks for every digit, and for something that is none. */
async function answers(ask: Ask, runtime: string, model: Model = 'int4'): Promise<void> {
  const wanted = await wantedScores(model);
  let right = 0;
  let largest = 0;
  for (const [i, expected] of wanted.entries()) {
    const response = await ask(pixels.slice(784 * i, 784 * (i + 1)));
    if (!response.ok) throw new Error(`${runtime}, ${model}: ${await response.text()}`);
    const { class: found, scores } = (await response.json()) as { class: number; scores: number[] };
    assert.is(found, classOf(expected), `${runtime}, ${model}: digit ${i}`);
    assert.is(scores.length, expected.length);
    for (const [j, score] of scores.entries())
      largest = Math.max(largest, Math.abs(score - (expected[j] as number)));
    if (found === labels[i]) right++;
  }
  assert.ok(largest <= 1e-4, `${runtime}, ${model}: scores differ by ${largest}`);
  // The others guess.
  if (model === 'int4') assert.ok(right >= COUNT - 2, `${runtime}: ${right} of ${COUNT} digits are right`);
  const short = await ask(new Uint8Array(3));
  assert.is(short.status, 400);
  assert.match(await short.text(), /expected 784 bytes, one for each pixel, got 3/);
  const how = `${right} right, scores as in Node.js within ${largest.toExponential(0)}`;
  process.stdout.write(`\nRAN: ${COUNT} digits in ${runtime}, ${model}, ${how}\n`);
}

/** Bundles worker.ts as wrangler does by wrangler.toml: each alias stands for that very import, and not for files below it. */
async function bundleWorker(project: string): Promise<string> {
  const toml = readFileSync(path.join(project, 'wrangler.toml'), 'utf8');
  const aliases = [...toml.matchAll(/^"(.+)" = "(.+)"$/gm)].map(([, from, to]) => [from, to] as const);
  const alias: Plugin = {
    name: 'alias',
    setup({ onResolve, resolve }) {
      onResolve({ filter: /./ }, ({ path: imported, kind }) => {
        const to = aliases.find(([from]) => from === imported)?.[1];
        return to === undefined ? undefined : resolve(to, { kind, resolveDir: project });
      });
    },
  };
  const outfile = path.join(project, 'worker.js');
  await build({
    ...{ entryPoints: [path.join(project, 'worker.ts')], outfile, bundle: true, format: 'esm' },
    ...{ target: 'es2022', conditions: ['workerd', 'worker', 'browser'], logLevel: 'warning' },
    minify: /^minify = true$/m.test(toml),
    keepNames: !/^keep_names = false$/m.test(toml),
    external: ['*.wasm', '*.safetensors'],
    plugins: [alias],
  });
  const code = readFileSync(outfile);
  return `${(code.length / 1000).toFixed(0)} kB of JavaScript, ${(gzipSync(code).length / 1000).toFixed(0)} kB gzipped`;
}

const SIMD = '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-simd.wasm';
const WASM = {
  [SIMD]: `node_modules/${SIMD}`,
  'bitnibble/reader.wasm': 'node_modules/bitnibble/build/reader.wasm',
};

need(test, 'workerd')('workerd: the answers of Node.js', async ({ workerd }) => {
  const project = await exampleProject();
  await bundleWorker(project);
  const data = { 'digits.safetensors': 'digits.safetensors' };
  for (const model of MODELS) {
    writeFileSync(path.join(project, 'digits.safetensors'), await packedModel(model));
    const worker = await startWorker(workerd, project, 'worker.js', WASM, data);
    try {
      const ask: Ask = (body) => worker.fetch('http://worker/', { method: 'POST', body });
      await answers(ask, `workerd ${worker.version}`, model);
    } finally {
      await worker.stop();
    }
  }
});

/** Starts of each Worker. */
const ROUNDS = 7;
/** Limits, an empty Worker taken off: milliseconds of CPU from nothing to the first answer, MiB. */
const MOST = { cpu: 50, memory: 64 };

need(test, 'workerd')('workerd: 50 ms of CPU from nothing to the first answer', async ({ workerd }) => {
  if (process.platform !== 'linux') throw new Error('CPU and memory are measured on Linux only');
  const project = await exampleProject();
  const size = await bundleWorker(project);
  writeFileSync(path.join(project, 'hello.js'), 'export default { fetch: () => new Response("hello") };');
  const data = { 'digits.safetensors': 'digits.safetensors' };
  const digit = { method: 'POST', body: pixels.slice(0, 784) };

  /** CPU until a Worker is there and until its first answer, and the most memory, of 10 more as well. */
  const costs = async (main: string) => {
    const worker = await startWorker(workerd, project, main, WASM, data);
    try {
      await worker.ready;
      const [pid, ...more] = children('workerd');
      assert.ok(pid, 'workerd runs');
      assert.equal(more, [], 'one workerd at a time is measured');
      const start = cpuMilliseconds(pid);
      const response = await worker.fetch('http://worker/', digit);
      const text = await response.text();
      const total = cpuMilliseconds(pid);
      assert.is(response.status, 200, text);
      assert.match(text, main === 'hello.js' ? /^hello$/ : /"scores":\[/);
      for (let i = 0; i < 10; i++) await (await worker.fetch('http://worker/', digit)).text();
      assert.equal(childrenOf(pid), [], 'workerd starts no process that would have to be measured too');
      return { start, answer: total - start, total, memory: peakMegabytes(pid) };
    } finally {
      await worker.stop();
    }
  };
  type Costs = Awaited<ReturnType<typeof costs>>;
  const rounds: { hello: Costs; worker: Costs }[] = [];
  for (let i = 0; i < ROUNDS; i++)
    rounds.push({ hello: await costs('hello.js'), worker: await costs('worker.js') });

  const sorted = (which: 'hello' | 'worker', what: keyof Costs) =>
    rounds.map((round) => round[which][what]).sort((a, b) => a - b) as [number, ...number[]];
  const least = (what: keyof Costs) => sorted('worker', what)[0] - sorted('hello', what)[0];
  const middle = Math.floor(ROUNDS / 2);
  const median = (what: keyof Costs) =>
    (sorted('worker', what)[middle] as number) - (sorted('hello', what)[middle] as number);
  const memory = (sorted('worker', 'memory').at(-1) as number) - sorted('hello', 'memory')[0];

  const inWords = (of: typeof least) =>
    `${of('total').toFixed(0)} ms (start ${of('start').toFixed(0)}, first answer ${of('answer').toFixed(0)})`;
  const cpu = `CPU to the first answer: median ${inWords(median)}, least ${inWords(least)}`;
  const shown = `${cpu}, memory ${memory.toFixed(0)} MiB`;
  process.stdout.write(
    `\nRAN: examples/worker in workerd, ${ROUNDS} starts less an empty Worker: ${shown}\n`,
  );
  process.stdout.write(`\nRAN: examples/worker is ${size}\n`);
  // A kernel without these counters shows zeros.
  for (const which of ['hello', 'worker'] as const)
    for (const what of ['start', 'answer', 'memory'] as const)
      assert.ok(sorted(which, what)[0] > 0.1, `${which}.js: the ${what} was not measured`);
  assert.ok(least('total') > 1 && memory > 1, `a Worker costs more than an empty one: ${shown}`);
  // What else runs only ever adds to what is measured, so the least disturbed starts are compared.
  assert.ok(least('total') < MOST.cpu, `expected less than ${MOST.cpu} ms, got ${shown}`);
  assert.ok(memory < MOST.memory, `expected less than ${MOST.memory} MiB, got ${shown}`);
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

test('what the example does not know is named', async () => {
  const { tf } = await loadTensorFlow();
  const open = async (change: (architecture: string) => string) => openNetwork(await changed(change), tf);
  const refused = async (expected: RegExp, from: string, to: string) => {
    const message = await open((text) => text.replace(from, to)).then(
      () => 'it was opened',
      (error: Error) => error.message,
    );
    assert.match(message, expected);
  };
  assert.equal((await open((text) => text)).shape, [28, 28, 1]);
  await refused(
    /^layer pool1: expected Conv2D, Dense .*, got GlobalMax.*$/,
    'MaxPooling2D',
    'GlobalMaxPooling2D',
  );
  await refused(/^layer conv1 \(Conv2D\): activation expected linear, .*, got "mish"$/, '"relu"', '"mish"');
  await refused(/^layer conv1 \(Conv2D\): groups: 2 of 1 channels/, '"groups":1', '"groups":2');
  await refused(/^layer conv1 \(Conv2D\): /, 'channels_last', 'channels_first');
  await refused(/layer conv9 \(Conv2D\) expected 2 weights, got 0$/, '"conv1"', '"conv9"');
  await refused(/expected one input, images of a known size, got \[\]$/, 'Sequential', 'Functional');
  await refused(/images of a known size, got \[28,0,1\]$/, '[null,28,28,1]', '[null,28,null,1]');
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
