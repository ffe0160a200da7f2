import { BitnibbleError } from '../errors.js';
import { isHdf5 } from '../keras/h5.js';
import type { KerasModel } from '../keras/keras-model.js';
import { openKeras as openKerasSource } from '../keras/open.js';
import { type NewWeights, weightEntries, writeWeights } from '../keras/save.js';
import type { Kernels } from '../kernels/types.js';
import type { ModelSource } from '../model.js';
import type { QuantizedModel } from '../packed/quantized-model.js';
import { openPacked } from '../packed/read.js';
import { writePacked } from '../packed/write.js';
import { decodedWeights } from '../pipeline/quantize.js';
import { editCopy, fileSource, readFile, requireOtherFile, writeFile } from './files.js';

/**
 * Opens a trained Keras model on disk; tensors are read in place, when asked for. Close it when done.
 * @throws BitnibbleError `not-found`, `not-hdf5`, `no-model-config`, `missing-weight`, `corrupt-file`
 */
export async function openKeras(path: string): Promise<KerasModel> {
  const source = fileSource(path);
  try {
    return await openKerasSource(source, path);
  } catch (error) {
    source.close?.();
    throw error;
  }
}

/** A Keras file or a packed file, by its content. `close` releases it. */
export async function openModel(
  path: string,
  kernels: Kernels,
): Promise<{ model: ModelSource; bytes: number; close: () => void }> {
  const source = fileSource(path);
  const bytes = source.size;
  const isKeras = isHdf5(source);
  source.close?.();
  if (isKeras) {
    const model = await openKeras(path);
    return { model, bytes, close: () => model.close() };
  }
  try {
    return { model: openPacked(readFile(path), kernels, path), bytes, close: () => undefined };
  } catch (error) {
    if (!(error instanceof BitnibbleError) || error.code !== 'not-safetensors') throw error;
    throw new BitnibbleError(
      'unknown-format',
      `${path}: expected a Keras .h5 file or a packed .safetensors file, its content is neither`,
    );
  }
}

/**
 * Writes a copy of the model's file with new weights; everything else stays as it is.
 * @throws BitnibbleError `same-file`, `not-writable`, `missing-weight`, `shape-mismatch`
 */
export async function saveModelWeights(model: KerasModel, weights: NewWeights, path: string): Promise<void> {
  requireOtherFile(model.file, path);
  await editCopy(model.file, path, (copy) => writeWeights(model, weightEntries(weights), copy));
}

/**
 * Writes a quantized model. The name decides: `.safetensors` the packed form, `.h5` or `.hdf5` the Keras
 * file with decoded values.
 *
 * @param original the model that was quantized, still open
 * @throws BitnibbleError `same-file`, `not-writable`; RangeError for another ending
 */
export async function saveQuantized(
  quantized: QuantizedModel,
  original: KerasModel,
  path: string,
): Promise<void> {
  requireOtherFile(original.file, path);
  if (/\.safetensors$/i.test(path)) return writeFile(path, writePacked(quantized));
  if (!/\.(h5|hdf5)$/i.test(path)) {
    throw new RangeError(
      `"output" expected a name ending in .safetensors or .h5, got ${JSON.stringify(path)}`,
    );
  }
  await editCopy(original.file, path, (copy) => writeWeights(original, decodedWeights(quantized), copy));
}
