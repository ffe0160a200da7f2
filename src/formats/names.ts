import { BitnibbleError } from '../errors.js';

/**
 * Most characters of a name that a file gives to a layer, a variable or an object of HDF5. Keras's own have fewer than a
 * hundred; names of many megabytes would be held many times over.
 */
export const MAX_NAME = 1024;
/** Most characters of a path of such names: `encoder/lstm/lstm_cell/kernel`. */
export const MAX_PATH = 4096;

/**
 * @param what says whose name it is, in errors
 * @returns the name
 * @throws BitnibbleError `too-large`, with the beginning of the name
 */
export function checkName(name: string, what: string, most = MAX_NAME): string {
  if (name.length <= most) return name;
  throw new BitnibbleError(
    'too-large',
    `${what} has a name of ${name.length} characters, expected at most ${most}: ${JSON.stringify(name.slice(0, 40))}...`,
  );
}

/** Whether a name is that of a file in the same folder, and leads nowhere else. */
export const isPlainFileName = (name: unknown): name is string =>
  typeof name === 'string' && name.length <= 255 && /^[^/\\:\0]+$/.test(name) && !/^\.+$/.test(name);
