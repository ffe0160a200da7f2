// The runtime beside LiteRT.js and onnxruntime-web in Chromium, one thread, all from one local server: milliseconds a sample in
// turns in one page, and milliseconds from an idle page that has loaded no engine, in a new profile with an empty cache, to the
// first answer. The clock starts in the page, with the first request.
//
//   npm run bench:browser -- [--quick] [--first] [model.h5 | model.keras ...]
//
// --first leaves out the turns in one page.
// Models: examples/cifar10 and examples/mobilenet for a sample, examples/digits for the first answer. The peers' int8 models are what
// ai-edge-quantizer and ONNX Runtime's quantizer make of our float32 exports (`node scripts/peers-env.js`): 8 bits of weights and
// activations, calibrated on the samples that are timed. `node scripts/runtimes.js litertjs onnxruntime` has the engines. What is
// missing is named and left out.
import { copyFileSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { build } from 'esbuild';
import {
  chromiumPath,
  litertJsDir,
  onnxruntimeDir,
  peersDir,
  pythonOf,
  root,
  run,
} from '../scripts/lib/project.js';
import { table } from '../src/cli/table.js';
import { writeNpy } from '../src/formats/npy.js';
import { loadKernels } from '../src/kernels/index.js';
import { liteRtModelFile } from '../src/litert/index.js';
import { openKeras } from '../src/node/models.js';
import { onnxModelFiles } from '../src/onnx/index.js';
import { packedBytes } from '../src/packed/index.js';
import { quantizeModel } from '../src/pipeline/quantize.js';
import { loadNetwork } from '../src/runtime/index.js';
import { sizeOf } from '../src/shape.js';
import { launch, resultOf } from '../test/runtimes/support/chromium.js';
import { serve } from '../test/runtimes/support/server.js';

const isQuick = process.argv.includes('--quick');
const isFirst = process.argv.includes('--first');
const given = process.argv.slice(2).filter((argument) => !argument.startsWith('--'));
const example = (name: string) => path.join(root, 'examples', name, `${name}.h5`);
const models =
  given.length > 0 ? given : isQuick ? [example('cifar10')] : ['cifar10', 'mobilenet'].map(example);
const [rounds, starts] = isQuick ? [11, 5] : [61, 15];
const SAMPLES = 16;
const missing = new Set<string>();
const site = mkdtempSync(path.join(tmpdir(), 'bitnibble-bench-'));
const at = (name: string) => path.join(site, name);
const kernels = await loadKernels();

/** V8 then compiles every function of a file while it loads, not one by one as they are called. */
const AT_ONCE = '//# allFunctionsCalledOnLoad';

/** Builds of the runtime: in chunks as esbuild makes them, the same with the comment, and what takes plain networks alone as one file. */
const BUILDS = {
  bitnibble: { entry: 'index.js', banner: '', label: 'bitnibble, int4' },
  bitnibbleAtOnce: { entry: 'index.js', banner: AT_ONCE, label: 'bitnibble, int4, compiled at once' },
  bitnibblePlain: {
    entry: 'plain.js',
    banner: AT_ONCE,
    label: 'bitnibble/runtime/plain, int4, compiled at once',
  },
} as const;
type Build = keyof typeof BUILDS;
const bitnibbleOf = (folder: Build) => `async (file) => {
    const coming = fetch(file);
    const { loadNetwork } = await import('./${folder}/bitnibble.js');
    const network = await loadNetwork(coming);
    return (x) => network.run(x);
  }`;

/** Engines in a page: `(file, shape)` gives a function that answers a sample. The file travels while the code does. */
const ENGINES = {
  bitnibble: bitnibbleOf('bitnibble'),
  bitnibbleAtOnce: bitnibbleOf('bitnibbleAtOnce'),
  bitnibblePlain: bitnibbleOf('bitnibblePlain'),
  /** What Chromium takes for any module and any file. */
  nothing: `async (file) => {
    const coming = fetch(file);
    const { take } = await import('./nothing.js');
    const bytes = await take(coming);
    return () => bytes;
  }`,
  litert: `async (file, shape) => {
    const coming = fetch(file).then((response) => response.arrayBuffer());
    const { loadAndCompile, loadLiteRt, Tensor } = await import('./litert.js');
    await (globalThis.loaded ??= loadLiteRt(new URL('.', location.href).href));
    const model = await loadAndCompile(new Uint8Array(await coming), { accelerator: 'wasm' });
    const [input] = model.getInputDetails();
    return async (x) => {
      const tensor = new Tensor(x, [1, ...shape]);
      const [result] = Object.values(await model.run({ [input.name]: tensor }));
      const values = result.toTypedArray().slice();
      result.delete();
      tensor.delete();
      return values;
    };
  }`,
  onnx: `async (file, shape) => {
    const coming = fetch(file).then((response) => response.arrayBuffer());
    const ort = await import('./ort.wasm.bundle.min.mjs');
    Object.assign(ort.env.wasm, { numThreads: 1, wasmPaths: new URL('.', location.href).href });
    const session = await ort.InferenceSession.create(new Uint8Array(await coming));
    const [name] = session.inputNames;
    const [out] = session.outputNames;
    return async (x) => (await session.run({ [name]: new ort.Tensor('float32', x, [1, ...shape]) }))[out].data;
  }`,
};
type Engine = keyof typeof ENGINES;
const SAMPLE_OF = `(shape, seed) => {
  let state = seed + 1;
  return Float32Array.from({ length: shape.reduce((n, d) => n * d, 1) }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  });
}`;
const html = (script: string) => `<!doctype html><meta charset="utf-8"><title>Bench</title>
<script type="importmap">{ "imports": { "@litertjs/wasm-utils": "./wasm-utils.js" } }</script>
<script type="module">${script}</script>`;

interface Candidate {
  readonly name: string;
  readonly engine: Engine;
  readonly file: string;
}

const sample = (shape: readonly number[], seed: number): Float32Array => {
  let state = seed + 1;
  return Float32Array.from({ length: sizeOf(shape) }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  });
};

/** The site: engines that are there, and the page's module. @returns the engines */
async function engines(): Promise<ReadonlySet<Engine>> {
  const all = new Set<Engine>(['bitnibble']);
  for (const [name, { entry, banner }] of Object.entries(BUILDS))
    await build({
      ...{ entryPoints: { bitnibble: path.join(root, 'dist/runtime', entry) }, outdir: at(name) },
      ...{ bundle: true, format: 'esm', splitting: entry === 'index.js', minify: true, target: 'es2022' },
      ...{ logLevel: 'error', banner: { js: banner } },
    });
  const take = 'export const take = async (coming) => new Uint8Array(await (await coming).arrayBuffer());';
  writeFileSync(at('nothing.js'), take);
  const litert = litertJsDir();
  if (existsSync(path.join(litert, 'core/dist/index.js'))) {
    all.add('litert');
    copyFileSync(path.join(litert, 'core/dist/index.js'), at('litert.js'));
    copyFileSync(path.join(litert, 'wasm-utils/dist/index.js'), at('wasm-utils.js'));
    for (const file of readdirSync(path.join(litert, 'core/wasm')))
      copyFileSync(path.join(litert, 'core/wasm', file), at(file));
  } else missing.add('LiteRT.js: node scripts/runtimes.js litertjs');
  const ort = path.join(onnxruntimeDir(), 'onnxruntime-web/dist');
  if (existsSync(ort)) {
    all.add('onnx');
    for (const file of readdirSync(ort).filter((name) =>
      /^ort\.wasm\.bundle\.min\.mjs$|^ort-wasm-simd-threaded\.(mjs|wasm)$/.test(name),
    ))
      copyFileSync(path.join(ort, file), at(file));
  } else missing.add('onnxruntime-web: node scripts/runtimes.js onnxruntime');
  return all;
}

/** A Keras model as files of the site for each engine. */
async function candidates(
  file: string,
  has: ReadonlySet<Engine>,
): Promise<{ readonly shape: readonly number[]; readonly all: readonly Candidate[] }> {
  const name = path.basename(file, path.extname(file));
  const model = await openKeras(file);
  const [port, ...others] = (await loadNetwork(model)).inputs;
  if (!port || others.length > 0) throw new Error(`${file}: expected a network of one input`);
  const { shape } = port;
  const recipe = { default: { scheme: 'int4', granularity: 'channel', scale: 'absmax' } } as const;
  writeFileSync(at(`${name}.safetensors`), packedBytes(quantizeModel(model, recipe, { kernels }).model));
  const float = at(`${name}.onnx`);
  writeFileSync(float, Buffer.concat([...onnxModelFiles(model, { weights: 'float' }).model()]));
  writeFileSync(at(`${name}.tflite`), Buffer.concat([...liteRtModelFile(model, { batch: 1 }).pieces()]));
  model.close();
  const all: Candidate[] = [{ name: 'bitnibble, int4', engine: 'bitnibble', file: `${name}.safetensors` }];
  if (has.has('litert')) all.push({ name: 'LiteRT.js, float32', engine: 'litert', file: `${name}.tflite` });
  if (has.has('onnx')) all.push({ name: 'onnxruntime-web, float32', engine: 'onnx', file: `${name}.onnx` });
  const inputs = at('inputs.npy');
  const values = new Float32Array(SAMPLES * sizeOf(shape));
  for (let i = 0; i < SAMPLES; i++) values.set(sample(shape, i), i * sizeOf(shape));
  writeFileSync(inputs, writeNpy({ data: values, shape: [SAMPLES, ...shape] }));
  const peers = async (what: string, ...args: readonly string[]) => {
    const { status, output } = await run(pythonOf(peersDir), [
      path.join(root, 'bench/exports_peers.py'),
      ...args,
    ]);
    if (status !== 0) missing.add(`${what} of ${name}: ${output.trim().split('\n').at(-1)}`);
  };
  if (!existsSync(pythonOf(peersDir))) missing.add('models of the peers: node scripts/peers-env.js');
  else {
    const folder = mkdtempSync(path.join(site, 'made-'));
    const take = (engine: Engine, label: string, made: string, to: string) => {
      if (!existsSync(path.join(folder, made))) return;
      copyFileSync(path.join(folder, made), at(to));
      all.push({ name: label, engine, file: to });
    };
    if (has.has('litert')) {
      await peers('int8 models', 'quantize-litert', at(`${name}.tflite`), inputs, folder);
      take('litert', 'LiteRT.js, int8', 'static8-floats.tflite', `${name}-int8.tflite`);
      take('litert', 'LiteRT.js, int8 weights', 'dynamic8.tflite', `${name}-weights8.tflite`);
    }
    if (has.has('onnx')) {
      await peers('int8 model', 'quantize-onnx', float, inputs, folder);
      take('onnx', 'onnxruntime-web, int8', 'int8.onnx', `${name}-int8.onnx`);
    }
  }
  return { shape, all };
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[values.length >> 1] as number;

/** Medians of times and of their ratios to those of the first, in turns. */
const timesTable = (
  all: readonly { readonly name: string }[],
  times: readonly (readonly number[])[],
  digits: number,
): string =>
  table(
    ['Engine', 'ms', 'Shortest', 'Of the first'],
    all.map(({ name }, i) => {
      const own = times[i] as readonly number[];
      const ratios = own.map((ms, turn) => ms / (times[0]?.[turn] as number));
      return [name, median(own).toFixed(digits), Math.min(...own).toFixed(digits), median(ratios).toFixed(2)];
    }),
  );

const browserPath = chromiumPath();
if (!existsSync(browserPath)) throw new Error(`${browserPath}: expected Chromium`);
const has = await engines();
const server = await serve(site, true);

/** Milliseconds a sample in turns in one page. */
async function turns(file: string): Promise<void> {
  const { shape, all } = await candidates(file, has);
  const page = `${path.basename(file)}.html`;
  writeFileSync(
    at(page),
    html(`
const engines = { ${Object.entries(ENGINES).map(([name, code]) => `${name}: ${code}`)} };
const sampleOf = ${SAMPLE_OF};
const all = ${JSON.stringify(all)};
const shape = ${JSON.stringify(shape)};
async function turns() {
  const runs = [];
  for (const { engine, file } of all) runs.push(await engines[engine](file, shape));
  const inputs = Array.from({ length: ${SAMPLES} }, (_, i) => sampleOf(shape, i));
  const times = runs.map(() => []);
  for (let round = -5; round < ${rounds}; round++)
    for (const [i, answer] of runs.entries()) {
      const start = performance.now();
      for (let k = 0; k < 8; k++) await answer(inputs[(8 * round + 40 + k) % ${SAMPLES}]);
      if (round >= 0) times[i].push((performance.now() - start) / 8);
    }
  return times;
}
globalThis.times = turns();`),
  );
  const browser = await launch(browserPath);
  try {
    const times = await resultOf<number[][]>(browser, `${server.origin}/plain/${page}`, 'times');
    console.log(
      `${path.basename(file)} in Chromium, one sample, one thread, medians of ${rounds} turns of 8 runs`,
    );
    console.log(timesTable(all, times, 2));
  } finally {
    await browser.close();
  }
}

/** How long an open page idles before the clock starts, in milliseconds. */
const IDLE = 500;

/** Milliseconds from an idle page that has loaded no engine to its first answer. */
async function firstAnswers(file: string): Promise<void> {
  const { shape, all } = await candidates(file, has);
  const [own] = all as [Candidate];
  const engines: Candidate[] = [
    ...Object.entries(BUILDS).map(([engine, { label }]) => ({
      ...own,
      name: label,
      engine: engine as Build,
    })),
    ...all.filter(({ name }) => name.endsWith('int8')),
    { ...own, name: 'no engine, the same file', engine: 'nothing' },
  ];
  writeFileSync(at('idle.html'), html(''));
  const times = engines.map(() => [] as number[]);
  const chains = engines.map(() => '');
  const browser = await launch(browserPath);
  try {
    // The first turn, which starts parts of Chromium, does not count.
    for (let turn = -1; turn < starts; turn++)
      for (const [i, candidate] of engines.entries()) {
        // A profile of its own: nothing is cached.
        const page = await browser.newPage();
        await page.goto(`${server.origin}/plain/idle.html`);
        await page.waitForTimeout(IDLE);
        const [ms, chain] = await page.evaluate<[number, string]>(`(async () => {
          const shape = ${JSON.stringify(shape)};
          const begun = performance.now();
          const answer = await (${ENGINES[candidate.engine]})(${JSON.stringify(candidate.file)}, shape);
          const values = await answer((${SAMPLE_OF})(shape, 0));
          const ms = performance.now() - begun;
          if (values.length === 0) throw new Error('no answer');
          const at = (time) => (time - begun).toFixed(0);
          const requests = performance.getEntriesByType('resource').filter((entry) => entry.startTime >= begun);
          return [ms, requests.map(({ name, startTime, responseEnd }) =>
            '  ' + name.split('/').at(-1) + ' ' + at(startTime) + ' to ' + at(responseEnd)).join('\\n')];
        })()`);
        await page.close();
        if (turn >= 0) times[i]?.push(ms);
        chains[i] = chain;
      }
  } finally {
    await browser.close();
  }
  const name = path.basename(file);
  console.log(
    `${name} from an idle page to the first answer in Chromium, medians of ${starts} new profiles in turns`,
  );
  console.log(timesTable(engines, times, 0));
  console.log(`requests of bitnibble in the last turn, ms from its start\n${chains[0]}`);
}

try {
  if (!isFirst) for (const file of models) await turns(file);
  await firstAnswers(isFirst && given[0] ? given[0] : example('digits'));
} finally {
  server.close();
  rmSync(site, { recursive: true, force: true });
}
for (const what of missing) console.log(`not measured: ${what}`);
