// The demo model in TensorFlow.js, loaded over HTTP with packedHandler, on the backends that the page finds.
import * as tf from '@tensorflow/tfjs';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import { arrayDataset } from '../../../src/data/index.js';
import { openNpz } from '../../../src/formats/npz.js';
import { loadKernels } from '../../../src/index.js';
import { bytesSource, openKeras } from '../../../src/keras/index.js';
import { calibrateModel } from '../../../src/pipeline/index.js';
import { loadLayersModel, type PackedSource, packedHandler } from '../../../src/tfjs/index.js';

export interface Predictions {
  /** By backend: one row of ten scores for each image, or why there is none. */
  readonly [backend: string]: number[] | string;
}

async function predict(backend: string): Promise<number[] | string> {
  if (!(await tf.setBackend(backend).catch(() => false))) return `there is no backend ${backend}`;
  const network = await tf.loadLayersModel(packedHandler('digits.safetensors', { tf }));
  const bytes = new Uint8Array(await (await fetch('digits.bin')).arrayBuffer());
  const images = tf.tensor(
    Float32Array.from(bytes, (pixel) => pixel / 255),
    [bytes.length / 784, 28, 28, 1],
  );
  const scores = network.predict(images) as tf.Tensor;
  return [...(await scores.data())];
}

/** What came of one kind of source: a sum of all scores, each with a weight of its own, and what progress said. */
export interface Loaded {
  readonly score: number;
  /** `[bytes so far, bytes in all]` of every call. */
  readonly progress: readonly (readonly [number, number | null])[];
}

/** Every kind of source that a page has; with recurrent layers and masks, which bitnibble's classes compute. */
async function everySource(file: string): Promise<Record<string, Loaded>> {
  const get = () => fetch(file);
  const bytes = new Uint8Array(await (await get()).arrayBuffer());
  const blob = new Blob([bytes]);
  const address = URL.createObjectURL(blob);
  const sources: Record<string, PackedSource> = {
    'a relative URL': file,
    'a URL': new URL(file, location.href),
    'a URL as text': new URL(file, location.href).href,
    'a URL of a blob': address,
    'a response': await get(),
    'a response made by hand': new Response(bytes),
    'a blob': blob,
    'a file': new File([bytes], file),
    bytes,
    'a buffer': bytes.slice().buffer,
  };
  setWasmPaths(new URL('./', location.href).href);
  await tf.setBackend('wasm');
  const found: Record<string, Loaded> = {};
  for (const [what, source] of Object.entries(sources)) {
    const progress: [number, number | null][] = [];
    const onProgress = (done: number, total?: number) => progress.push([done, total ?? null]);
    const network = await tf.loadLayersModel(packedHandler(source, { tf, onProgress }));
    const [input] = network.inputs;
    const words = tf.ones(
      (input?.shape ?? []).map((n) => n ?? 1),
      'int32',
    );
    const scores = [...(await (network.predict(words) as tf.Tensor).data())];
    found[what] = { score: scores.reduce((sum, value, i) => sum + value * (i + 1), 0), progress };
  }
  return found;
}

async function all(): Promise<Predictions> {
  setWasmPaths(new URL('./', location.href).href);
  const found: Record<string, number[] | string> = {};
  for (const backend of ['wasm', 'webgl', 'cpu']) found[backend] = await predict(backend);
  return found;
}

export interface Calibrated {
  readonly divergence: { readonly calibrated: number; readonly dataFree: number };
  /** Kernels that were fitted without data. */
  readonly fallbacks: readonly string[];
}

/** One bit, fitted to images in the page: the products are those of bitnibble's own kernels. */
async function calibrated(): Promise<Calibrated> {
  setWasmPaths(new URL('./', location.href).href);
  await tf.setBackend('wasm');
  const get = async (file: string) => new Uint8Array(await (await fetch(file)).arrayBuffer());
  const model = await openKeras(bytesSource(await get('digits.h5')), 'digits.h5');
  const values = await get('digits.bin');
  const dataset = arrayDataset({ name: 'digits', inputShape: [28, 28, 1], values });
  const { report } = await calibrateModel(
    tf,
    model,
    { default: { scheme: 'binary' } },
    { kernels: await loadKernels(), dataset, preprocess: { scale: 1 / 255 } },
  );
  return {
    divergence: report.divergence,
    fallbacks: report.calibration.flatMap(({ id, fallback }) => (fallback ? [`${id}: ${fallback}`] : [])),
  };
}

/** Outputs of one model: shape and values. */
export type Outputs = readonly { readonly shape: readonly number[]; readonly values: readonly number[] }[];

/** What models of Keras and packed files of them give for the inputs beside them, each read and run in the page. */
async function parity(): Promise<Record<string, { readonly float: Outputs; readonly int4: Outputs }>> {
  setWasmPaths(new URL('./', location.href).href);
  await tf.setBackend('wasm');
  const get = async (file: string) => new Uint8Array(await (await fetch(file)).arrayBuffer());
  const names: string[] = await (await fetch('parity.json')).json();
  const found: Record<string, { float: Outputs; int4: Outputs }> = {};
  for (const name of names) {
    const arrays = openNpz(await get(`${name}.npz`));
    const inputs = arrays.names
      .filter((key) => key.startsWith('x'))
      .map((_, i) => arrays.read(`x${i}`))
      .map(({ data, shape }) =>
        data instanceof Float32Array
          ? tf.tensor(data, [...shape], 'float32')
          : tf.tensor(Int32Array.from(data as ArrayLike<number>, Number), [...shape], 'int32'),
      );
    const predict = async (model: tf.LayersModel): Promise<Outputs> => {
      const result = model.predict(inputs.length === 1 ? (inputs[0] as tf.Tensor) : inputs);
      const tensors = Array.isArray(result) ? result : [result];
      return Promise.all(
        tensors.map(async (tensor) => ({ shape: tensor.shape, values: [...(await tensor.data())] })),
      );
    };
    const model = await openKeras(bytesSource(await get(`${name}.h5`)), name);
    const float = await predict(await loadLayersModel(tf, model));
    const packed = packedHandler(`${name}.safetensors`, { tf });
    found[name] = { float, int4: await predict(await tf.loadLayersModel(packed)) };
  }
  return found;
}

const works: Readonly<Record<string, () => object>> = {
  '': () => ({ predictions: all() }),
  '#sources': () => ({ sources: everySource('tagger.safetensors') }),
  '#parity': () => ({ parity: parity() }),
  '#calibrated': () => ({ calibrated: calibrated() }),
};
Object.assign(globalThis, works[location.hash]?.());
