// What the tests of saving save: every kind of output in two forms, which differ in every weight.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { loadModelWeights } from '../../src/keras/index.js';
import { loadKernels } from '../../src/kernels/index.js';
import {
  openKeras,
  openModel,
  saveLayersModel,
  saveModelWeights,
  saveQuantized,
} from '../../src/node/models.js';
import { quantizeToFile } from '../../src/node/packed.js';
import type { QuantizedModel } from '../../src/packed/quantized-model.js';
import { openPacked } from '../../src/packed/read.js';
import { quantizeModel } from '../../src/pipeline/quantize.js';
import { layersModelFiles } from '../../src/tfjs/artifacts.js';
import { root } from './project.js';

const containers = path.join(root, 'test/fixtures/containers');
const INPUTS: Readonly<Record<string, string>> = {
  '.h5': path.join(root, 'examples/digits/digits.h5'),
  '.keras': path.join(containers, 'assets.keras'),
  '.weights.json': path.join(containers, 'shards.weights.json'),
  '.safetensors': path.join(root, 'examples/digits/digits.h5'),
  '.safetensors.index.json': path.join(root, 'examples/digits/digits.h5'),
  '.json': path.join(root, 'examples/digits/digits.h5'),
};

/** Endings of the outputs: each is a way to save. */
export const KINDS: readonly string[] = Object.keys(INPUTS);

/** Saves form 0 or 1 to `STEM` and the ending. */
export type Save = (stem: string, form: number) => Promise<void>;

export async function saveAs(kind: string): Promise<Save> {
  const kernels = await loadKernels();
  const input = INPUTS[kind] as string;
  return async (stem, form) => {
    const model = await openKeras(input);
    try {
      if (kind === '.safetensors') {
        const scheme = form === 0 ? 'int4' : 'int2';
        const { model: quantized } = quantizeModel(model, { default: { scheme } }, { kernels });
        await saveQuantized(quantized, model, stem + kind);
      } else if (kind === '.safetensors.index.json') {
        const recipe = { default: { scheme: form === 0 ? 'int4' : 'int2' } } as const;
        await quantizeToFile(model, recipe, { kernels, shardSize: 12_000 }, model, stem + kind);
      } else if (kind === '.json') {
        const files = layersModelFiles(model, `${path.basename(stem)}.json`, {
          float16: form === 1,
          shardBytes: 2 ** 16,
        });
        await saveLayersModel(files, stem + kind);
      } else {
        const weights = loadModelWeights(model).map((layer) => ({
          weights: layer.weights.map(({ id, values }) => ({ id, values: values.map(() => form + 1) })),
        }));
        await saveModelWeights(model, weights, stem + kind);
      }
    } finally {
      model.close();
    }
  };
}

/** Which form an output holds; an error where it is not whole or of both. */
export async function formOf(stem: string, kind: string): Promise<number> {
  const file = stem + kind;
  if (kind === '.json') return layersForm(file);
  if (kind === '.safetensors') {
    return packedForm(openPacked(new Uint8Array(readFileSync(file)), await loadKernels(), file));
  }
  if (kind === '.safetensors.index.json') {
    const { model, close } = await openModel(file, await loadKernels());
    try {
      return packedForm(model as QuantizedModel);
    } finally {
      close();
    }
  }
  const model = await openKeras(file);
  try {
    return only(
      model.weights.flatMap(({ id }) => [...new Set(model.read(id))].map((value) => value - 1)),
      file,
    );
  } finally {
    model.close();
  }
}

function packedForm(packed: QuantizedModel): number {
  const forms = packed.weights.flatMap((weight) => {
    packed.read(weight.id);
    return weight.kind === 'quantized' ? [weight.tensor.coding.scheme === 'int4' ? 0 : 1] : [];
  });
  return only(forms, packed.file);
}

function layersForm(file: string): number {
  const { weightsManifest } = JSON.parse(readFileSync(file, 'utf8')) as {
    weightsManifest: { paths: string[]; weights: { shape: number[]; quantization?: object }[] }[];
  };
  const forms: number[] = [];
  for (const { paths, weights } of weightsManifest) {
    const wanted = weights.reduce(
      (sum, { shape, quantization }) => sum + shape.reduce((a, b) => a * b, quantization ? 2 : 4),
      0,
    );
    const data = Buffer.concat(paths.map((name) => readFileSync(path.join(path.dirname(file), name))));
    if (data.length !== wanted)
      throw new Error(`${file}: ${data.length} bytes of weights, expected ${wanted}`);
    forms.push(...weights.map(({ quantization }) => (quantization ? 1 : 0)));
  }
  return only(forms, file);
}

function only(forms: readonly number[], file: string): number {
  const found = [...new Set(forms)];
  if (found.length === 1 && (found[0] === 0 || found[0] === 1)) return found[0];
  throw new Error(`${file}: expected weights of one of two forms, found ${found.slice(0, 5)}`);
}
