// examples/worker in workerd, Deno and Bun: the answers of TensorFlow.js in Node.js, and what the first costs in workerd.
import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build, type Plugin } from 'esbuild';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { loadKernels } from '../../src/kernels/index.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { openPacked, packedBytes, QuantizedModel } from '../../src/packed/index.js';
import { packedHandler } from '../../src/tfjs/index.js';
import { need, root, run, tempDir } from '../support/needs.js';
import { packedDigits, testDigits } from './support/digits.js';
import { children, childrenOf, cpuMilliseconds, peakMegabytes } from './support/process.js';
import { emptyProject } from './support/project.js';
import { freePort, startServer, withServer } from './support/shell-server.js';
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

/** Bundles worker.ts as wrangler does by wrangler.toml: each alias stands for that very import. */
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
  const bundle = readFileSync(outfile, 'utf8');
  const [, text] =
    /'(.{60})/.exec(readFileSync(path.join(root, 'src/kernels/embedded-runtime.ts'), 'utf8')) ?? [];
  assert.ok(text && !bundle.includes(text), 'the alias leaves the bytes of the WebAssembly out');
  assert.ok(bundle.length < 70_000, `${bundle.length} characters`);
  const wasm = path.join(project, Object.values(WASM)[0] as string);
  const size = (file: string) => {
    const bytes = readFileSync(file);
    return `${(bytes.length / 1000).toFixed(0)} kB, ${(gzipSync(bytes).length / 1000).toFixed(0)} kB gzipped`;
  };
  return `${size(outfile)}; its WebAssembly ${size(wasm)}`;
}

const WASM = { 'bitnibble/runtime.wasm': 'node_modules/bitnibble/build/runtime.wasm' };

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
  const args = ['run', '--no-prompt', '--allow-read', '--allow-net=127.0.0.1', 'deno.ts'];
  await startServer(deno, args, project, (ask) => answers(ask, 'Deno'));
});

need(test, 'bun')('Bun', async ({ bun }) => {
  const project = await exampleProject();
  await startServer(bun, ['run', 'bun.ts'], project, (ask) => answers(ask, 'Bun'));
});

test('what the runtime cannot run is named before the first request', async () => {
  const project = await exampleProject();
  const outfile = path.join(project, 'classifier.js');
  await build({
    ...{ entryPoints: [path.join(project, 'classifier.ts')], outfile, bundle: true, format: 'esm' },
    ...{ platform: 'node', logLevel: 'warning' },
  });
  const { classifier } = (await import(pathToFileURL(outfile).href)) as {
    classifier: (file: Uint8Array) => Promise<(request: Request) => Promise<Response>>;
  };
  await answers(async (body) => {
    const answer = await classifier(await packedModel('int4'));
    return answer(new Request('http://worker/', { method: 'POST', body }));
  }, 'Node.js');
  const refused = async (expected: RegExp, change: (architecture: string) => string) => {
    const message = await classifier(packedBytes(await changed(change))).then(
      () => 'it was opened',
      (error: Error) => error.message,
    );
    assert.match(message, expected);
  };
  await refused(/the layer pool1 \(MyPooling\)/, (text) => text.replace('MaxPooling2D', 'MyPooling'));
  await refused(/conv1 \(Conv2D\).*activation/, (text) => text.replace('"relu"', '"step"'));
});

/** The commands of the example's README, block by block, without their remarks. */
const blocks = [
  ...readFileSync(path.join(root, 'examples/worker/README.md'), 'utf8').matchAll(/^```sh\n(.*?)^```$/gms),
].map(([, block = '']) =>
  block
    .trim()
    .split('\n')
    .map((line) => line.replace(/ +#.*/, '').split(' ') as [string, ...string[]]),
);
const [setUp = [], servers = [], [ask] = []] = blocks;

/** A checkout in which all commands of the first block were run; the last is run by whoever ran this test. */
async function checkout(): Promise<string> {
  const folder = tempDir();
  const parts = ['package.json', 'dist', 'examples/worker', 'examples/digits'];
  for (const part of [...parts, ...['kernels', 'reader', 'runtime'].map((name) => `build/${name}.wasm`)]) {
    const filter = (file: string) =>
      !/node_modules|package-lock|digits\.safetensors|\.wrangler/.test(path.relative(root, file));
    cpSync(path.join(root, part), path.join(folder, part), { recursive: true, filter });
  }
  symlinkSync(path.join(root, 'node_modules'), path.join(folder, 'node_modules'), 'dir');
  const [build, cd, ...others] = setUp;
  assert.equal(build, ['npm', 'run', 'build']);
  const { scripts } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
  assert.is(scripts.build, 'node scripts/setup.js dist', 'what npm test has run before');
  assert.equal(cd, ['cd', 'examples/worker']);
  const cwd = path.join(folder, 'examples/worker');
  for (const [command, ...args] of others) {
    // Nothing but the checkout is installed.
    const env = { ...process.env, npm_config_offline: 'true' };
    const { status, output } = await run(command, args, { cwd, env });
    assert.is(status, 0, output);
  }
  return cwd;
}

/** Runs a server of the second block and asks it as the third says, on a port that is free. */
async function runReadme(program: string, binary: string, local?: string): Promise<void> {
  const cwd = await checkout();
  // As if npx had fetched it.
  if (local) symlinkSync(local, path.join(cwd, 'node_modules/.bin', program));
  const port = await freePort();
  const files = ['worker.ts', 'deno.ts', 'bun.ts', 'wrangler.toml'].map((name) => path.join(cwd, name));
  for (const file of files) writeFileSync(file, readFileSync(file, 'utf8').replaceAll('8787', String(port)));
  const server = servers.find((command) => command.includes(program));
  assert.ok(server && ask, `README.md has a command of ${program}, and one that asks`);
  const PATH = [path.dirname(binary), process.env.PATH].join(path.delimiter);
  const env = { ...process.env, PATH, WRANGLER_SEND_METRICS: 'false', NO_COLOR: '1', BROWSER: 'none' };
  await withServer(server, { cwd, env }, port, async () => {
    const [command, ...args] = ask.map((part) => part.replace('8787', String(port)));
    const { status, stdout, output } = await run(command as string, args, { cwd });
    assert.is(status, 0, output);
    const { class: found, scores } = JSON.parse(stdout) as { class: number; scores: number[] };
    assert.is(found, 7, stdout);
    assert.is(scores.length, 10);
  });
  process.stdout.write(`\nRAN: the commands of examples/worker/README.md: ${server.join(' ')}\n`);
}

need(
  test,
  'wrangler',
  'node24',
)('its README, with wrangler', ({ wrangler, node24 }) => runReadme('wrangler', node24, wrangler));
need(test, 'deno')('its README, with Deno', ({ deno }) => runReadme('deno', deno));
need(test, 'bun')('its README, with Bun', ({ bun }) => runReadme('bun', bun));

test('its README tries all servers, and its model and digit are those of the demo', async () => {
  assert.equal(
    servers.map(([program, next]) => (program === 'npx' ? next : program)),
    ['wrangler', 'deno', 'bun'],
  );
  const cwd = await checkout();
  const at = (name: string) => new Uint8Array(readFileSync(path.join(cwd, name)));
  assert.equal(at('digits.safetensors'), await packedDigits(true));
  assert.equal(at('digit.bin'), pixels.slice(784, 2 * 784));
  assert.is(labels[1], 7);
});

test.run();
