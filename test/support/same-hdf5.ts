// An HDF5 file read by the short way and by HDF5 itself.
import * as assert from 'uvu/assert';
import { BitnibbleError } from '../../src/errors.js';
import { H5File } from '../../src/keras/h5.js';
import type { Hdf5 } from '../../src/keras/hdf5.js';
import { PlainH5 } from '../../src/keras/plain-h5.js';
import { bytesSource } from '../../src/keras/source.js';
import { sizeOf } from '../../src/shape.js';

/** What a file says at a path: everything that readers ask for. */
function told(file: Hdf5, path: string): unknown {
  const kind = file.kind(path);
  const names = file.attributeNames(path).sort();
  const attributes = names.map((name) => {
    const value = file.attribute(path, name);
    return [name, typeof value === 'object' ? Array.from(value as ArrayLike<unknown>) : value];
  });
  if (kind === 'group') return { kind, attributes, keys: file.keys(path) };
  const { shape, dtype } = file.dataset(path);
  const size = sizeOf(shape);
  const bytes = file.readBytes(path);
  const middle = size > 2 ? file.readBytes(path, [1, size - 1]) : [];
  const half = shape.map((count) => count >> 1);
  const rest = shape.map((count, i) => count - (half[i] as number));
  const box = shape.length > 0 ? Array.from(file.readBox(path, half, rest)) : [];
  return { kind, attributes, shape, dtype, bytes: Buffer.from(bytes).toString('base64'), middle, box };
}

/**
 * Reads a file both ways. HDF5 has to take what the short way takes, and to say the same of all its objects.
 *
 * @returns whether the short way took it
 */
export async function assertSameHdf5(bytes: Uint8Array, name: string): Promise<boolean> {
  const plain = PlainH5.open(name, bytesSource(bytes));
  if (!plain) return false;
  let whole: H5File | undefined;
  try {
    whole = await H5File.open(name, bytesSource(bytes));
    for (const path of plain.index.keys())
      assert.equal(told(plain, path), told(whole, path), `${name}: ${path}`);
    assert.is(whole.kind('/no/such'), undefined);
  } catch (error) {
    throw error instanceof BitnibbleError ? new Error(`read by the short way, but ${error.message}`) : error;
  } finally {
    whole?.close();
    plain.close();
  }
  return true;
}
