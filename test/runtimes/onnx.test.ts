// ONNX models in the engines that JavaScript has: onnxruntime-node, and onnxruntime-web's WebAssembly.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openNpz } from '../../src/formats/npz.js';
import { loadKernels } from '../../src/kernels/index.js';
import { openKeras } from '../../src/node/models.js';
import { onnxModelFiles } from '../../src/onnx/index.js';
import { quantizeModel } from '../../src/pipeline/quantize.js';
import { need } from '../support/needs.js';
import { RECIPES } from '../support/onnx.js';
import { fileOf, folder, names } from '../tfjs/support.js';

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

/** The largest error of a model's outputs: of each value, or of a hundredth of the largest. */
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
  let worst = 0;
  session.outputNames.forEach((own, i) => {
    const want = Array.from(right.read(`${letter}${i}`).data as ArrayLike<number>, Number);
    const got = found[own] as OrtTensor;
    assert.equal([...got.dims], [...right.read(`${letter}${i}`).shape]);
    const floor = Math.max(...want.map(Math.abs), 1e-30) / 100;
    want.forEach((value, at) => {
      const error = Math.abs(Number(got.data[at]) - value) / Math.max(Math.abs(value), floor);
      if (!(error <= worst)) worst = error;
    });
  });
  await session.release();
  return worst;
}

const recorded = (name: string) => path.join(folder, '../onnx', `${name}.npz`);
const isRecorded = (name: string) => {
  try {
    return readFileSync(recorded(name)).length > 0;
  } catch {
    return false;
  }
};

for (const [engine, file] of [
  ['onnxruntime-node', 'onnxruntime-node/dist/index.js'],
  ['onnxruntime-web', 'onnxruntime-web/dist/ort.node.min.mjs'],
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
    for (const name of names) {
      const keras = await openKeras(fileOf(name));
      const own = path.join(folder, `${name}.npz`);
      const check = async (label: string, bytes: Uint8Array, letter: string, from: string) => {
        count++;
        const error = await largestError(ort, bytes, name, letter, from).catch((reason) => String(reason));
        if (!(Number(error) <= 1e-4)) wrong.push(`${name} ${label}: ${error}`);
      };
      const written = (
        weights: 'folded' | 'low-bit' | 'float',
        model: Parameters<typeof onnxModelFiles>[0],
      ) => Buffer.concat([...onnxModelFiles(model, { weights }).model()]);
      await check('float', written('float', keras), 'y', own);
      for (const [scheme, letter] of [
        ['int4', 'q'],
        ['int2', 't'],
        ['binary', 'b'],
      ] as const) {
        if (scheme !== 'int4' && !isRecorded(name)) continue;
        const options = RECIPES[scheme] as (typeof RECIPES)[string];
        const { model } = quantizeModel(keras, { default: options }, { kernels });
        await check(scheme, written('folded', model), letter, scheme === 'int4' ? own : recorded(name));
      }
      keras.close();
    }
    assert.equal(wrong, []);
    assert.ok(count > 180, `${count} models`);
  });
  test.run();
}
