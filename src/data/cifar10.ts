import { BitnibbleError } from '../errors.js';
import type { NamedBytes } from './arrays.js';
import { arrayDataset, type Dataset } from './dataset.js';

const PLANE = 32 * 32;
export const RECORD = 1 + 3 * PLANE;
/** All of CIFAR-10 and some more: 200 MB. */
export const MAX_RECORDS = 65_000;

/** The classes in the order of their labels, as `batches.meta.txt` lists them. */
export const CIFAR10_CLASSES = [
  'airplane',
  'automobile',
  'bird',
  'cat',
  'deer',
  'dog',
  'frog',
  'horse',
  'ship',
  'truck',
] as const;

/**
 * CIFAR-10 from the files of its binary release, one after another: records of a label byte and three planes of
 * 32 x 32 bytes, red, green, blue. Samples are `[32, 32, 3]`.
 *
 * @param files each with the name to use in messages
 * @throws BitnibbleError `corrupt-file`, naming the file.
 *   Source: https://www.cs.toronto.edu/~kriz/cifar.html, "Binary version"
 */
export function readCifar10(files: readonly NamedBytes[]): Dataset {
  for (const { name, bytes } of files) {
    if (bytes.length === 0 || bytes.length % RECORD !== 0) {
      throw new BitnibbleError(
        'corrupt-file',
        `${name}: expected records of ${RECORD} bytes as in CIFAR-10's binary release, got ${bytes.length} bytes`,
      );
    }
  }
  const count = files.reduce((sum, { bytes }) => sum + bytes.length / RECORD, 0);
  if (count > MAX_RECORDS) {
    throw new BitnibbleError(
      'too-large',
      `${files[0]?.name}: ${count} images, CIFAR-10 has 60,000 and at most ${MAX_RECORDS} are read`,
    );
  }
  const values = new Uint8Array(count * 3 * PLANE);
  const labels = new Int32Array(count);
  let sample = 0;
  for (const { name, bytes } of files) {
    for (let at = 0; at < bytes.length; at += RECORD, sample++) {
      const label = bytes[at]!;
      if (label > 9) {
        throw new BitnibbleError(
          'corrupt-file',
          `${name}: expected labels 0 to 9, got ${label} at byte ${at}`,
        );
      }
      labels[sample] = label;
      for (let p = 0, out = sample * 3 * PLANE, from = at + 1; p < PLANE; p++, from++, out += 3) {
        values[out] = bytes[from]!;
        values[out + 1] = bytes[from + PLANE]!;
        values[out + 2] = bytes[from + 2 * PLANE]!;
      }
    }
  }
  const name = files.map((file) => file.name).join(' + ');
  return arrayDataset({ name, inputShape: [32, 32, 3], values, labels, classNames: CIFAR10_CLASSES });
}
