import { BitnibbleError } from '../errors.js';
import type { Hdf5 } from './hdf5.js';
import { PlainH5 } from './plain-h5.js';
import type { ByteSource } from './source.js';
import { isHdf5 } from './superblock.js';

/**
 * Opens an HDF5 file: such as h5py writes for Keras by the short way of {@link PlainH5}, all others by HDF5 itself,
 * which takes a tenth of a second to start.
 *
 * @param source may be written to where it has `write`
 * @throws BitnibbleError `not-hdf5` without the signature, `corrupt-file` where HDF5 refuses it
 */
export async function openHdf5(name: string, source: ByteSource): Promise<Hdf5> {
  if (!isHdf5(source)) {
    throw new BitnibbleError('not-hdf5', `${name}: expected an HDF5 file, its signature is missing`);
  }
  return PlainH5.open(name, source) ?? (await import('./h5.js')).H5File.open(name, source);
}
