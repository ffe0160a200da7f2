import { H5File } from './h5.js';
import { KerasModel } from './keras-model.js';
import { type ByteSource, bytesSource } from './source.js';

/**
 * Opens a trained Keras model: a whole-model `.h5` of Keras 1 to 3. The content decides, not the name.
 *
 * @param from the file's bytes, or random access to them (`fileSource` of `bitnibble/node` reads in place)
 * @param name names the file in errors
 * @throws BitnibbleError `not-hdf5`, `no-model-config`, `missing-weight`, `corrupt-file`
 */
export async function openKeras(from: Uint8Array | ByteSource, name = 'model'): Promise<KerasModel> {
  const source = from instanceof Uint8Array ? bytesSource(from) : from;
  const file = await H5File.open(name, source);
  try {
    return new KerasModel(file);
  } catch (error) {
    file.close();
    throw error;
  }
}
