// Tries one model file: reads it, writes it, converts it for TensorFlow.js. The words that come back are the cells of
// docs/SUPPORT.md.
import path from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { BitnibbleError } from '../../src/errors.js';
import { fromNumbers, toFloat32 } from '../../src/formats/dtypes.js';
import type { Hdf5 } from '../../src/keras/hdf5.js';
import type { KerasModel } from '../../src/keras/index.js';
import { isLegacy } from '../../src/keras/legacy.js';
import type { Kernels } from '../../src/kernels/types.js';
import type { ModelSource } from '../../src/model.js';
import { openKeras, openModel, saveQuantized } from '../../src/node/models.js';
import type { QuantizedModel } from '../../src/packed/index.js';
import { quantizeModel } from '../../src/pipeline/quantize.js';
import { sizeOf } from '../../src/shape.js';
import { loadLayersModel } from '../../src/tfjs/index.js';

export interface Outcome {
  readonly kind: string;
  /** As the file says it, or a range such as `1.x` where it does not. */
  readonly version: string;
  readonly parameters: string;
  /** `yes`, or the code of the refusal and its message. */
  readonly read: string;
  /** What it was written to, or why not. */
  readonly written: string;
  /** `yes`, or the first reason. */
  readonly tfjs: string;
}

export interface Trial {
  readonly file: string;
  /** What to believe where a file does not open or does not say. */
  readonly kind: string;
  readonly version: string;
  /** Parameters that it has to have; counted in its HDF5 datasets where nobody else knows. */
  readonly parameters?: number;
}

const NONE = '-';
/** What a file of weights alone says to TensorFlow.js. */
export const NO_ARCHITECTURE = 'no: it holds weights and no architecture';
const short = (text: string) => (text.length > 140 ? `${text.slice(0, 137)}...` : text);

/** A fault as `code: message`, without the file's path. Anything but a BitnibbleError is a bug. */
function faultOf(error: unknown, file: string): string {
  if (!(error instanceof BitnibbleError)) return `BUG: ${short(String(error))}`;
  const message = error.message.replaceAll(file, path.basename(file));
  const start = `${path.basename(file)}: `;
  return `${error.code}: ${short(message.startsWith(start) ? message.slice(start.length) : message)}`;
}

/** What is in the file, whatever its name. */
export function kindOf(model: KerasModel): string {
  const { container, h5 } = model.files;
  if (container === 'keras') return '.keras archive';
  if (container === 'shards') return 'Keras 3 weights in shards';
  if (model.architecture) return 'whole-model .h5';
  return isLegacy(h5[0] as Hdf5) ? 'weights .h5' : 'Keras 3 .weights.h5';
}

function countDatasets(file: Hdf5, group: string): number {
  let count = 0;
  for (const key of file.keys(group)) {
    const at = `${group}/${key}`;
    count += file.kind(at) === 'group' ? countDatasets(file, at) : sizeOf(file.dataset(at).shape);
  }
  return count;
}

function readAll(model: KerasModel, expected: number): string {
  for (const { id, shape } of model.weights) {
    const { length } = model.read(id);
    if (length !== sizeOf(shape)) return `BUG: ${id} has ${length} values, its shape ${sizeOf(shape)}`;
  }
  return model.parameters === expected ? 'yes' : `BUG: ${model.parameters} parameters, expected ${expected}`;
}

/** The first weight that does not come back as it was written; Keras files round it to the type they store it in. */
function difference(again: ModelSource, quantized: QuantizedModel, rounds: boolean): string | undefined {
  if (again.weights.length !== quantized.weights.length) return 'the number of weights';
  const types = new Map(again.weights.map(({ id, dtype }) => [id, dtype]));
  for (const { id } of quantized.weights) {
    const dtype = types.get(id);
    if (dtype === undefined) return id;
    const values = quantized.read(id);
    const isHalf = rounds && (dtype === 'F16' || dtype === 'BF16');
    const wanted = isHalf ? toFloat32(fromNumbers(values, dtype), dtype) : values;
    const found = again.read(id);
    if (found.length !== wanted.length || found.some((value, i) => !Object.is(value, wanted[i]))) return id;
  }
  return undefined;
}

const ENDINGS = { h5: '.h5', keras: '.keras', shards: '.weights.json', folder: undefined } as const;

async function write(model: KerasModel, kernels: Kernels, folder: string): Promise<string> {
  const { model: quantized, report } = quantizeModel(model, { default: { scheme: 'int4' } }, { kernels });
  const own = ENDINGS[model.files.container];
  // A file of codes takes no other values: saving to it is refused, which tests look at.
  const isWritable =
    own !== undefined &&
    report.quantizedParameters > 0 &&
    model.weights.every(({ coded }) => coded === undefined);
  const endings = isWritable ? ['.safetensors', own] : ['.safetensors'];
  for (const ending of endings) {
    const file = path.join(folder, `out${ending}`);
    await saveQuantized(quantized, model, file);
    const again = await openModel(file, kernels);
    const wrong = difference(again.model, quantized, ending === own);
    again.close();
    if (wrong) return `BUG: ${wrong} differs in ${ending}`;
  }
  return `yes: ${endings.join(', ')}`;
}

async function convert(model: KerasModel): Promise<string> {
  if (!model.architecture) return NO_ARCHITECTURE;
  try {
    await tf.setBackend('cpu');
    (await loadLayersModel(tf, model)).dispose();
    return 'yes';
  } catch (error) {
    if (!(error instanceof BitnibbleError)) return faultOf(error, model.file);
    const problems = error.message.split('; ');
    const first = (problems[0] as string).replace(
      /^.*TensorFlow\.js cannot run (the layer|\d+ layers:) /s,
      '',
    );
    const reason = first.replaceAll(`${model.file}: `, '');
    const more = problems.length > 1 ? `, and ${problems.length - 1} more` : '';
    return `no: ${short(reason)}${more}`;
  }
}

const attempt = (file: string, work: () => Promise<string>) =>
  work().catch((error) => faultOf(error, file).replace(/^(?!BUG)/, 'no: '));

/** Everything about one file. `folder` takes what is written. */
export async function tryModel(trial: Trial, kernels: Kernels, folder: string): Promise<Outcome> {
  const { file } = trial;
  let model: KerasModel;
  try {
    model = await openKeras(file);
  } catch (error) {
    const { kind, version } = trial;
    return { kind, version, parameters: NONE, read: faultOf(error, file), written: NONE, tfjs: NONE };
  }
  try {
    const about = {
      kind: kindOf(model),
      version: model.kerasVersion || trial.version,
      parameters: String(model.parameters),
    };
    const count = () => countDatasets(model.files.h5[0] as Hdf5, 'model_weights');
    const read = await attempt(file, async () => readAll(model, trial.parameters ?? count()));
    if (read !== 'yes') return { ...about, read: read.replace(/^no: /, ''), written: NONE, tfjs: NONE };
    const written = await attempt(file, () => write(model, kernels, folder));
    return { ...about, read, written, tfjs: await convert(model) };
  } finally {
    model.close();
  }
}
