import { BitnibbleError } from '../errors.js';
import { arrayDataset, type Dataset } from './dataset.js';

const PLANE = 32 * 32;
const RECORD = 1 + 3 * PLANE;

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
 * @throws BitnibbleError `corrupt-file`, naming the file
 * Source: https://www.cs.toronto.edu/~kriz/cifar.html, section Binary version
 */
export function readCifar10(
  files: readonly { readonly name: string; readonly bytes: Uint8Array }[],
): Dataset {
  for (const { name, bytes } of files) {
    if (bytes.length === 0 || bytes.length % RECORD !== 0) {
      throw new BitnibbleError(
        'corrupt-file',
        `${name}: expected records of ${RECORD} bytes as in CIFAR-10's binary release, got ${bytes.length} bytes`,
      );
    }
  }
  const count = files.reduce((sum, { bytes }) => sum + bytes.length / RECORD, 0);
  const values = new Uint8Array(count * 3 * PLANE);
  const labels = new Int32Array(count);
  let sample = 0;
  for (const { name, bytes } of files) {
    for (let at = 0; at < bytes.length; at += RECORD, sample++) {
      const label = bytes[at] as number;
      if (label > 9) {
        throw new BitnibbleError(
          'corrupt-file',
          `${name}: expected labels 0 to 9, got ${label} at byte ${at}`,
        );
      }
      labels[sample] = label;
      for (let p = 0, out = sample * 3 * PLANE, from = at + 1; p < PLANE; p++, from++, out += 3) {
        values[out] = bytes[from] as number;
        values[out + 1] = bytes[from + PLANE] as number;
        values[out + 2] = bytes[from + 2 * PLANE] as number;
      }
    }
  }
  const name = files.map((file) => file.name).join(' + ');
  return arrayDataset({ name, inputShape: [32, 32, 3], values, labels, classNames: CIFAR10_CLASSES });
}
