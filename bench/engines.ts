// A network on several engines, one sample at a time, one thread unless said, in turns in one process: milliseconds, and how many times as long
// as the runtime at int4.
//
//   npm run bench:engines -- [--quick] [model.h5 | model.keras]      examples/cifar10/cifar10.h5 by default
//
// onnxruntime-node and onnxruntime-web are those of `node scripts/runtimes.js onnxruntime`; the int8 model is what ONNX Runtime's own
// quantizer makes (`node scripts/export-env.js`), one scale per channel, calibrated on the samples that are timed. What is missing is
// left out by name. tfjs-node cannot share a process with TensorFlow.js's WebAssembly backend: `--tfjs-node` takes its place.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import { pathToFileURL } from 'node:url';
import type { Tensor } from '@tensorflow/tfjs';
import { exportPython, onnxruntimeDir, root, run } from '../scripts/lib/project.js';
import { table } from '../src/cli/table.js';
import { loadKernels } from '../src/kernels/index.js';
import { openKeras } from '../src/node/models.js';
import { loadTensorFlow } from '../src/node/tfjs.js';
import { onnxModelFiles } from '../src/onnx/index.js';
import { packedBytes } from '../src/packed/index.js';
import { quantizeModel } from '../src/pipeline/quantize.js';
import { loadNetwork } from '../src/runtime/index.js';
import { sizeOf } from '../src/shape.js';
import { loadLayersModel } from '../src/tfjs/load.js';

// A thread starts from a file of its own, which only dist/ has as JavaScript.
const built = pathToFileURL(path.join(root, 'dist/node/runtime.js')).href;
const { loadNetwork: loadInThreads } = (await import(built)) as typeof import('../src/node/runtime.js');
const isQuick = process.argv.includes('--quick');
const isNative = process.argv.includes('--tfjs-node');
const [rounds, samples] = [isQuick ? 15 : 101, 16];
const given = process.argv.slice(2).find((argument) => !argument.startsWith('--'));
const file = given ?? path.join(root, 'examples/cifar10/cifar10.h5');
const kernels = await loadKernels();
const model = await openKeras(file);

interface Engine {
  readonly name: string;
  readonly run: () => unknown;
}
const engines: Engine[] = [];
const missing: string[] = [];

const SCHEMES = [
  ['int4', 'absmax'],
  ['int2', 'lsq'],
  ['binary', 'mean'],
] as const;
const first = await loadNetwork(model);
const [port, ...others] = first.inputs;
if (!port || others.length > 0) throw new Error(`${file}: expected a network of one input`);
const shape = [1, ...port.shape];
const size = sizeOf(shape);
let state = 1;
const random = () => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 2 ** 32;
};
const inputs = Array.from({ length: samples }, () => Float32Array.from({ length: size }, random));
let turn = 0;
/** Another sample each time. */
const next = () => inputs[turn++ % samples] as Float32Array;

for (const [scheme, scale] of SCHEMES) {
  const recipe = { default: { scheme, granularity: 'channel', scale } } as const;
  const packed = quantizeModel(model, recipe, { kernels }).model;
  for (const weights of ['decoded', 'packed'] as const) {
    const network = await loadNetwork(packed, { weights });
    engines.push({ name: `bitnibble, ${scheme}, ${weights}`, run: () => network.run(next()) });
  }
  if (scheme !== 'int4') continue;
  const bytes = packedBytes(packed);
  const shared = await loadInThreads(bytes, { weights: 'decoded', threads: 2 });
  engines.push({
    name: `bitnibble, int4, ${shared.summary().threads.count} threads`,
    run: () => shared.run(next()),
  });
}
engines.push({ name: 'bitnibble, float32', run: () => first.run(next()) });

const { tf } = await loadTensorFlow({ prefer: isNative ? 'node' : 'wasm' });
const layers = await loadLayersModel(tf, model);
engines.push({
  name: isNative ? 'tfjs-node, float32' : 'TensorFlow.js wasm, float32',
  run: () => tf.tidy(() => (layers.predict(tf.tensor(next(), shape)) as Tensor).dataSync()),
});

const folder = mkdtempSync(path.join(tmpdir(), 'bitnibble-bench-'));
const float = path.join(folder, 'float.onnx');
writeFileSync(float, Buffer.concat([...onnxModelFiles(model, { weights: 'float' }).model()]));

const QUANTIZE = `
import sys, numpy as np
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
class Samples(CalibrationDataReader):
    def __init__(self, name, x): self.all = iter([{name: one[None]} for one in x])
    def get_next(self): return next(self.all, None)
x = np.fromfile(sys.argv[3], "float32").reshape([-1] + [int(n) for n in sys.argv[5].split(",")])
quantize_static(sys.argv[1], sys.argv[2], Samples(sys.argv[4], x), per_channel=True, weight_type=QuantType.QInt8)
`;

/** The model as ONNX Runtime's quantizer makes it. */
async function int8Model(name: string): Promise<string | undefined> {
  const python = exportPython();
  if (!existsSync(python)) return undefined;
  const [out, data] = [path.join(folder, 'int8.onnx'), path.join(folder, 'samples.bin')];
  writeFileSync(data, Buffer.concat(inputs.map((x) => new Uint8Array(x.buffer))));
  const { status, output } = await run(python, ['-c', QUANTIZE, float, out, data, name, port!.shape.join()]);
  if (status === 0) return out;
  missing.push(`int8: ${output.trim().split('\n').at(-1)}`);
  return undefined;
}

interface Session {
  readonly inputNames: readonly string[];
  run(feeds: Record<string, unknown>): Promise<unknown>;
}
interface Ort {
  readonly env: { logLevel?: string; wasm?: { numThreads?: number } };
  readonly Tensor: new (type: string, data: unknown, dims: readonly number[]) => unknown;
  readonly InferenceSession: { create(model: Uint8Array, options: object): Promise<Session> };
}

let int8: string | undefined;
for (const [engine, entry] of [
  ['onnxruntime-web', 'onnxruntime-web/dist/ort.node.min.mjs'],
  ['onnxruntime-node', 'onnxruntime-node/dist/index.js'],
] as const) {
  const where = path.join(onnxruntimeDir(), entry);
  if (!existsSync(where)) {
    missing.push(`${engine}: node scripts/runtimes.js onnxruntime`);
    continue;
  }
  const module = await import(pathToFileURL(where).href);
  const ort = (module.default?.InferenceSession ? module.default : module) as Ort;
  ort.env.logLevel = 'error';
  if (ort.env.wasm) ort.env.wasm.numThreads = 1;
  const options = { intraOpNumThreads: 1, interOpNumThreads: 1, logSeverityLevel: 3 };
  const add = async (label: string, source: string) => {
    const session = await ort.InferenceSession.create(readFileSync(source), options);
    const name = session.inputNames[0] as string;
    engines.push({
      name: `${engine}, ${label}`,
      run: () => session.run({ [name]: new ort.Tensor('float32', next(), shape) }),
    });
    return name;
  };
  const name = await add('float32', float);
  int8 ??= await int8Model(name);
  if (int8) await add('int8', int8);
}

const times = engines.map(() => [] as number[]);
// In another order each time: what an engine leaves in the caches meets all others alike.
const order = engines.map((engine, i) => ({ engine, i }));
for (let round = -5; round < rounds; round++) {
  for (let i = order.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  for (const { engine, i } of order) {
    const start = performance.now();
    await engine.run();
    if (round >= 0) times[i]?.push(performance.now() - start);
  }
}
rmSync(folder, { recursive: true, force: true });
model.close();

const sorted = times.map((all) => all.sort((a, b) => a - b));
const shortest = (i: number) => sorted[i]?.[0] as number;
const medians = sorted.map((all) => all[all.length >> 1] as number);
console.log(
  `${path.basename(file)}, one sample, one thread unless said, medians of ${rounds} runs in turns, the shortest behind`,
);
console.log(
  table(
    ['Engine', 'ms', 'Shortest', 'Of the first', 'Shortest, of its'],
    engines.map(({ name }, i) => [
      ...[name, (medians[i] as number).toFixed(2), shortest(i).toFixed(2)],
      ((medians[i] as number) / (medians[0] as number)).toFixed(2),
      (shortest(i) / shortest(0)).toFixed(2),
    ]),
  ),
);
for (const what of missing) console.log(`not measured: ${what}`);
