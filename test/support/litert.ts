import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { openNpz } from '../../src/formats/npz.js';
import type { Kernels } from '../../src/kernels/types.js';
import { type LiteRtOptions, liteRtModelFile } from '../../src/litert/index.js';
import type { ModelSource } from '../../src/model.js';
import { openKeras } from '../../src/node/models.js';
import { quantizeModel } from '../../src/pipeline/quantize.js';
import { fileOf, folder } from '../tfjs/support.js';
import { askPython, type Case, LETTERS, RECIPES, recorded } from './exported.js';

/** Writes a model. */
export function writeLiteRt(source: ModelSource, file: string, options: LiteRtOptions): string {
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, Buffer.concat([...liteRtModelFile(source, options).pieces()]));
  return file;
}

/** Samples that a fixture has. */
export const samplesOf = (name: string): number =>
  openNpz(readFileSync(path.join(folder, `${name}.npz`))).read('x0').shape[0] as number;

/**
 * A fixture as LiteRT models: float, and low-bit by some recipes. Every second one takes all samples at once, the others one; every
 * third is computed without LiteRT's delegate.
 */
export async function fixtureCases(name: string, kernels: Kernels, to: string): Promise<Case[]> {
  const keras = await openKeras(fileOf(name));
  const inputs = path.join(folder, `${name}.npz`);
  const samples = samplesOf(name);
  const cases: Case[] = [];
  const add = (label: string, model: ModelSource, weights: 'exact' | 'float', right: Partial<Case>) => {
    const at = cases.length;
    const batch = at % 2 === 0 ? samples : 1;
    const file = path.join(to, `${name}-${label.replace(/ /g, '-')}.tflite`);
    const plain = at % 3 === 2;
    const own = writeLiteRt(model, file, { weights, batch });
    cases.push({
      name: `${name} ${label}, ${batch} at once${plain ? ', plain' : ''}`,
      model: own,
      inputs,
      plain,
      ...right,
    });
    return own;
  };
  add('float', keras, 'float', { expected: inputs, letter: 'y' });
  for (const [recipe, options] of Object.entries(RECIPES)) {
    const { model } = quantizeModel(keras, { default: options }, { kernels });
    const letter = LETTERS[recipe];
    const expected = recipe === 'int4' ? inputs : path.join(recorded, `${name}.npz`);
    const isRecorded = letter !== undefined && existsSync(expected);
    const file = path.join(to, `${name}-${recipe.replace(/ /g, '-')}-decoded.tflite`);
    const right = isRecorded
      ? { expected, letter }
      : { like: writeLiteRt(model, file, { weights: 'float' }) };
    if (isRecorded) add(`${recipe} decoded`, model, 'float', right);
    add(recipe, model, 'exact', right);
  }
  keras.close();
  return cases;
}

/** Runs models in Python. */
export const runLiteRt = (python: string, cases: readonly Case[], to: string) =>
  askPython(python, 'litert_run.py', cases, to);
