import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Kernels } from '../../src/kernels/types.js';
import type { ModelSource } from '../../src/model.js';
import { openKeras } from '../../src/node/models.js';
import { onnxModelFiles, type WeightStorage } from '../../src/onnx/index.js';
import { quantizeModel } from '../../src/pipeline/quantize.js';
import { fileOf, folder } from '../tfjs/support.js';
import { askPython, type Case, LETTERS, RECIPES, recorded } from './exported.js';

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

/** Checks and runs models in Python. */
export const runOnnx = (python: string, cases: readonly Case[], to: string) =>
  askPython(python, 'onnx_run.py', cases, to);
