// One ONNX model in onnxruntime-node or onnxruntime-web in Node.js, one thread, one sample at a time: bench/exports.ts starts it as a
// process of its own, so that memory is the model's.
//
//   node --import tsx bench/exports-run.ts ENGINE MODEL INPUTS.f32 SHAPE OUT.f32 ROUNDS
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import { pathToFileURL } from 'node:url';
import { onnxruntimeDir } from '../scripts/lib/project.js';

const [engine = '', file = '', inputs = '', shapeText = '', out = '', rounds = ''] = process.argv.slice(2);
const shape = shapeText.split(',').map(Number);
const size = shape.reduce((product, length) => product * length, 1);
const entry =
  engine === 'onnxruntime-web' ? 'onnxruntime-web/dist/ort.node.min.mjs' : 'onnxruntime-node/dist/index.js';
const module = await import(pathToFileURL(path.join(onnxruntimeDir(), entry)).href);

interface Session {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  run(feeds: Record<string, unknown>): Promise<Record<string, { readonly data: Float32Array }>>;
}
interface Ort {
  readonly env: { logLevel?: string; wasm?: { numThreads?: number } };
  readonly Tensor: new (type: string, data: unknown, dims: readonly number[]) => unknown;
  readonly InferenceSession: { create(model: Uint8Array, options: object): Promise<Session> };
}
const ort = (module.default?.InferenceSession ? module.default : module) as Ort;
ort.env.logLevel = 'error';
if (ort.env.wasm) ort.env.wasm.numThreads = 1;

const bytes = readFileSync(inputs);
const all = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
const samples = all.length / size;
const model = readFileSync(file);
const memory = () => process.memoryUsage.rss() / 1e6;
const before = memory();
const options = { intraOpNumThreads: 1, interOpNumThreads: 1, logSeverityLevel: 3 };
const session = await ort.InferenceSession.create(model, options);
const [input = '', output = ''] = [session.inputNames[0], session.outputNames[0]];
const answer = async (i: number) => {
  const own = all.subarray((i % samples) * size, ((i % samples) + 1) * size);
  return (await session.run({ [input]: new ort.Tensor('float32', own, [1, ...shape]) }))[output]?.data;
};
for (let i = 0; i < 8; i++) await answer(i);
const mb = memory() - before;
const times: number[] = [];
for (let i = 0; i < Number(rounds); i++) {
  const start = performance.now();
  await answer(i);
  times.push(performance.now() - start);
}
times.sort((a, b) => a - b);
const outputs: Float32Array[] = [];
for (let i = 0; i < samples; i++) outputs.push(Float32Array.from((await answer(i)) as Float32Array));
writeFileSync(out, Buffer.concat(outputs.map((values) => new Uint8Array(values.buffer))));
console.log(JSON.stringify({ ms: times[times.length >> 1], shortest: times[0], mb }));
