import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Kernels } from '../../src/kernels/types.js';
import type { ModelSource } from '../../src/model.js';
import { openKeras } from '../../src/node/models.js';
import { onnxModelFiles, type WeightStorage } from '../../src/onnx/index.js';
import { quantizeModel } from '../../src/pipeline/quantize.js';
import type { QuantizeOptions } from '../../src/schemes/types.js';
import { fileOf, folder } from '../tfjs/support.js';
import { root, run } from './needs.js';

/** A model for `onnx_run.py`. */
export interface Case {
  readonly name: string;
  readonly model: string;
  readonly inputs: string;
  readonly expected?: string;
  readonly letter?: string;
  readonly like?: string;
}

/** The recipes by which fixtures are made low-bit: what `q` of a fixture was made with, and others. */
export const RECIPES: Readonly<Record<string, QuantizeOptions>> = {
  int4: { scheme: 'int4', granularity: 'channel', scale: 'absmax' },
  int2: { scheme: 'int2', granularity: 'channel', scale: 'absmax' },
  binary: { scheme: 'binary', granularity: 'channel', scale: 'mean' },
  'int4 groups': { scheme: 'int4', granularity: 'group', groupSize: 16, scale: 'absmax' },
  'int2 groups': { scheme: 'int2', granularity: 'group', groupSize: 5, scale: 'absmax' },
  'binary tensor': { scheme: 'binary', granularity: 'tensor', scale: 'mean' },
};

/** Writes a model, its data beside it where there is some. */
export function writeOnnx(
  source: ModelSource,
  file: string,
  weights: WeightStorage,
  mostBytes?: number,
): string {
  const files = onnxModelFiles(source, { weights, ...(mostBytes === undefined ? {} : { mostBytes }) });
  const dataName = `${path.basename(file)}.data`;
  mkdirSync(path.dirname(file), { recursive: true });
  if (files.data) writeFileSync(path.join(path.dirname(file), dataName), Buffer.concat([...files.data]));
  writeFileSync(file, Buffer.concat([...files.model(dataName)]));
  return file;
}

/** What Keras made of fixtures after int2 (`t0`, ...) and binary (`b0`, ...): `make_recorded.py`. */
export const recorded = path.join(root, 'test/fixtures/onnx');
export const LETTERS: Readonly<Record<string, string>> = { int4: 'q', int2: 't', binary: 'b' };

/** A fixture as ONNX models: float, and low-bit by some recipes in both ways of storing codes. */
export async function fixtureCases(name: string, kernels: Kernels, to: string): Promise<Case[]> {
  const keras = await openKeras(fileOf(name));
  const inputs = path.join(folder, `${name}.npz`);
  const of = (label: string, weights: WeightStorage, model: ModelSource): string =>
    writeOnnx(model, path.join(to, `${name}-${label.replace(/ /g, '-')}.onnx`), weights);
  const cases: Case[] = [
    { name: `${name} float`, model: of('float', 'float', keras), inputs, expected: inputs, letter: 'y' },
  ];
  for (const [recipe, options] of Object.entries(RECIPES)) {
    const { model } = quantizeModel(keras, { default: options }, { kernels });
    const decoded = of(`${recipe} decoded`, 'float', model);
    const letter = LETTERS[recipe];
    const expected = recipe === 'int4' ? inputs : path.join(recorded, `${name}.npz`);
    const isRecorded = letter !== undefined && existsSync(expected);
    const right = isRecorded ? { expected, letter } : { like: decoded };
    if (isRecorded) cases.push({ name: `${name} ${recipe} float`, model: decoded, inputs, ...right });
    for (const weights of ['folded', 'low-bit'] as const)
      cases.push({
        name: `${name} ${recipe} ${weights}`,
        model: of(`${recipe} ${weights}`, weights, model),
        inputs,
        ...right,
      });
  }
  keras.close();
  return cases;
}

/** What `onnx_run.py` says of a case. */
export interface Answer {
  readonly name: string;
  readonly error?: number;
  readonly problem?: string;
  readonly nodes?: number;
  readonly transposes?: number;
}

/** Checks and runs models in Python. */
export async function runOnnx(python: string, cases: readonly Case[], to: string): Promise<Answer[]> {
  const list = path.join(to, 'cases.json');
  writeFileSync(list, JSON.stringify(cases));
  const script = path.join(root, 'test/slow/onnx_run.py');
  const { status, stdout, stderr } = await run(python, [script, list], { timeout: 600_000 });
  if (status !== 0) throw new Error(`Python ended with status ${status}:\n${stderr.trimEnd()}`);
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Answer);
}
