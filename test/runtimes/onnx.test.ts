// ONNX models in the engines that JavaScript has: onnxruntime-node, and onnxruntime-web's WebAssembly.
import { copyFileSync, existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openNpz } from '../../src/formats/npz.js';
import { loadKernels } from '../../src/kernels/index.js';
import { openKeras } from '../../src/node/models.js';
import { onnxModelFiles } from '../../src/onnx/index.js';
import { quantizeModel } from '../../src/pipeline/quantize.js';
import { RECIPES } from '../support/exported.js';
import { need, tempDir } from '../support/needs.js';
import { fileOf, folder, names } from '../tfjs/support.js';
import { holdInPage, type PageCase, type Written } from './support/exported.js';
import { worstOf } from './support/worst.js';

interface OrtTensor {
  readonly data: ArrayLike<number | bigint>;
  readonly dims: readonly number[];
}

/** As much of onnxruntime-common as is used here. */
interface Ort {
  readonly env: { logLevel?: string; wasm?: { numThreads?: number } };
  readonly Tensor: new (type: string, data: unknown, dims: readonly number[]) => OrtTensor;
  readonly InferenceSession: {
    create(
      model: Uint8Array,
      options: object,
    ): Promise<{
      readonly inputNames: readonly string[];
      readonly outputNames: readonly string[];
      readonly inputMetadata: readonly { readonly name: string; readonly type?: string }[];
      run(feeds: Record<string, OrtTensor>): Promise<Record<string, OrtTensor>>;
      release(): Promise<void>;
    }>;
  };
}

const kernels = await loadKernels();

const ARRAYS: Readonly<Record<string, new (values: number[]) => unknown>> = {
  ...{ float32: Float32Array, int32: Int32Array, bool: Uint8Array },
};

/** {@link worstOf} of all outputs of a model. */
async function largestError(
  ort: Ort,
  model: Uint8Array,
  name: string,
  letter: string,
  from: string,
): Promise<number> {
  const session = await ort.InferenceSession.create(model, { intraOpNumThreads: 1, logSeverityLevel: 3 });
  const inputs = openNpz(readFileSync(path.join(folder, `${name}.npz`)));
  const feeds: Record<string, OrtTensor> = {};
  session.inputNames.forEach((own, i) => {
    const { data, shape } = inputs.read(`x${i}`);
    const type = session.inputMetadata[i]?.type ?? 'float32';
    const Arrays = ARRAYS[type] as NonNullable<(typeof ARRAYS)[string]>;
    feeds[own] = new ort.Tensor(type, new Arrays(Array.from(data as ArrayLike<number>, Number)), shape);
  });
  const found = await session.run(feeds);
  const right = openNpz(readFileSync(from));
  const keys = right.names.filter((key) => new RegExp(`^${letter}\\d+$`).test(key));
  assert.is(session.outputNames.length, keys.length, `${name}: outputs`);
  let worst = 0;
  session.outputNames.forEach((own, i) => {
    const expected = right.read(`${letter}${i}`);
    const got = found[own] as OrtTensor;
    assert.equal([...got.dims], [...expected.shape]);
    const want = Array.from(expected.data as ArrayLike<number>, Number);
    worst = Math.max(worst, worstOf(Array.from(got.data, Number), want));
  });
  await session.release();
  return worst;
}

const recorded = (name: string) => path.join(folder, '../onnx', `${name}.npz`);

/** A fixture in float and, where Keras's outputs were recorded, low-bit. */
async function* written(name: string): AsyncGenerator<Written & { readonly name: string }> {
  const keras = await openKeras(fileOf(name));
  const own = path.join(folder, `${name}.npz`);
  const bytesOf = (weights: 'folded' | 'float', model: Parameters<typeof onnxModelFiles>[0]) =>
    Buffer.concat([...onnxModelFiles(model, { weights }).model()]);
  yield { label: `${name} float`, name, bytes: bytesOf('float', keras), letter: 'y', from: own };
  for (const [scheme, letter] of [
    ['int4', 'q'],
    ['int2', 't'],
    ['binary', 'b'],
  ] as const) {
    const from = scheme === 'int4' ? own : recorded(name);
    if (!existsSync(from)) continue;
    const options = RECIPES[scheme] as (typeof RECIPES)[string];
    const { model } = quantizeModel(keras, { default: options }, { kernels });
    yield { label: `${name} ${scheme}`, name, bytes: bytesOf('folded', model), letter, from };
  }
  keras.close();
}

for (const [engine, file] of [
  ['onnxruntime-node', 'onnxruntime-node/dist/index.js'],
  ['onnxruntime-web in Node.js', 'onnxruntime-web/dist/ort.node.min.mjs'],
] as const) {
  const test = suite(engine);
  const engines = need(test, 'onnxruntime');
  const load = async (where: string): Promise<Ort> => {
    const module = await import(pathToFileURL(path.join(where, file)).href);
    const ort = (module.default?.InferenceSession ? module.default : module) as Ort;
    ort.env.logLevel = 'error';
    if (ort.env.wasm) ort.env.wasm.numThreads = 1;
    return ort;
  };
  engines('every fixture in float, int4, int2 and binary', async ({ onnxruntime }) => {
    const ort = await load(onnxruntime);
    const wrong: string[] = [];
    let count = 0;
    for (const fixture of names)
      for await (const { label, name, bytes, letter, from } of written(fixture)) {
        count++;
        const error = await largestError(ort, bytes, name, letter, from).catch((reason) => String(reason));
        if (!(Number(error) <= 1e-4)) wrong.push(`${label}: ${error}`);
      }
    assert.equal(wrong, []);
    assert.ok(count > 180, `${count} models`);
  });
  test.run();
}

const PAGE = `<!doctype html><meta charset="utf-8"><title>Test</title><script type="module">
import * as ort from './ort.wasm.min.mjs';
ort.env.wasm.numThreads = 1;
async function all() {
  const answerOf = async ({ file, inputs }) => {
    const session = await ort.InferenceSession.create(new Uint8Array(await (await fetch(file)).arrayBuffer()));
    const feeds = {};
    session.inputNames.forEach((name, i) => {
      const { type } = session.inputMetadata[i];
      const Arrays = { float32: Float32Array, int32: Int32Array, bool: Uint8Array }[type];
      feeds[name] = new ort.Tensor(type, Arrays.from(inputs[i].data), inputs[i].shape);
    });
    const outputs = await session.run(feeds);
    const values = session.outputNames.map((name) => Array.from(outputs[name].data, Number));
    await session.release();
    return values;
  };
  const found = [];
  for (const own of await (await fetch('cases.json')).json()) found.push(await answerOf(own).catch(String));
  return found;
}
globalThis.outputs = all();
</script>`;

const test = suite('onnxruntime-web in Chromium');
need(
  test,
  'onnxruntime',
  'chromium',
)('every fixture in float, int4, int2 and binary', async ({ onnxruntime, chromium }) => {
  const site = tempDir();
  const engine = path.join(onnxruntime, 'onnxruntime-web/dist');
  for (const file of ['ort.wasm.min.mjs', 'ort-wasm-simd-threaded.mjs', 'ort-wasm-simd-threaded.wasm'])
    copyFileSync(path.join(engine, file), path.join(site, file));
  const cases: PageCase[] = [];
  for (const name of names) {
    const npz = openNpz(readFileSync(path.join(folder, `${name}.npz`)));
    const keys = npz.names.filter((key) => key.startsWith('x'));
    const inputs = keys.map((_, at) => {
      const { data, shape } = npz.read(`x${at}`);
      return { data: Array.from(data as ArrayLike<number>, Number), shape };
    });
    for await (const own of written(name)) cases.push({ written: own, told: { inputs } });
  }
  await holdInPage(chromium, site, PAGE, '.onnx', cases);
});
test.run();
