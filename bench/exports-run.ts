// ONNX models in onnxruntime-node or onnxruntime-web in Node.js, one thread, one sample at a time: bench/exports.ts starts it as a
// process of its own.
//
//   node --import tsx bench/exports-run.ts ENGINE outputs INPUTS.f32 SHAPE OUT.f32 MODEL
//   node --import tsx bench/exports-run.ts ENGINE turns INPUTS.f32 SHAPE ROUNDS MODEL ...
//
// `outputs` prints the MB that the model and inference add to the process, `turns` the milliseconds of processor
// time of all models in every round.
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { onnxruntimeDir } from '../scripts/lib/project.js';

const [engine = '', command = '', inputs = '', shapeText = '', to = '', ...files] = process.argv.slice(2);
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

/** A model as a function of the number of a sample. */
async function opened(model: Uint8Array): Promise<(i: number) => Promise<Float32Array>> {
  const options = { intraOpNumThreads: 1, interOpNumThreads: 1, logSeverityLevel: 3 };
  const session = await ort.InferenceSession.create(model, options);
  const [input = '', output = ''] = [session.inputNames[0], session.outputNames[0]];
  return async (i) => {
    const own = all.subarray((i % samples) * size, ((i % samples) + 1) * size);
    const results = await session.run({ [input]: new ort.Tensor('float32', own, [1, ...shape]) });
    return (results[output] as { readonly data: Float32Array }).data;
  };
}

const models = files.map((file) => readFileSync(file));
if (command === 'outputs') {
  const memory = () => process.memoryUsage.rss() / 1e6;
  const before = memory();
  const answer = await opened(models[0] as Uint8Array);
  for (let i = 0; i < 8; i++) await answer(i);
  const mb = memory() - before;
  const outputs: Uint8Array[] = [];
  for (let i = 0; i < samples; i++) outputs.push(new Uint8Array(Float32Array.from(await answer(i)).buffer));
  writeFileSync(to, Buffer.concat(outputs));
  console.log(JSON.stringify({ mb }));
} else {
  const answers: Awaited<ReturnType<typeof opened>>[] = [];
  for (const model of models) answers.push(await opened(model));
  const times: number[][] = answers.map(() => []);
  for (let round = -3; round < Number(to); round++)
    for (const [i, answer] of answers.entries()) {
      await answer(round + 3);
      const start = process.cpuUsage();
      await answer(round + 3);
      const { user, system } = process.cpuUsage(start);
      if (round >= 0) times[i]?.push((user + system) / 1000);
    }
  console.log(JSON.stringify({ times }));
}
