import { copyFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { loadKernels } from '../../../src/kernels/index.js';
import { packedBytes } from '../../../src/packed/index.js';
import { arraysOf, errorAgainst, fileOf, folder as fixtures, quantized } from '../../tfjs/support.js';
import type { Outputs } from '../hosts/tfjs.js';
import { launch, resultOf } from './chromium.js';
import { serve } from './server.js';
import { pageFolder } from './tfjs-page.js';

/** Of each notation and kind: images, sequences, attention, shared and nested models, several outputs, operations on tensors. */
export const PARITY = [
  ...['cifar10', 'recurrent', 'transformer', 'unet', 'keras1_merges', 'k2_functions', 'k2_short_kernels'],
  ...['graph_shared_outputs', 'graph_model_of_models', 'graph_slices', 'graph_masks_joined'],
];

/** Errors of {@link PARITY} in Chromium against Keras, in float and after int4. */
export async function chromiumErrors(chromium: string) {
  const kernels = await loadKernels();
  const folder = await pageFolder();
  writeFileSync(path.join(folder, 'parity.json'), JSON.stringify(PARITY));
  for (const name of PARITY) {
    const { float, packed } = await quantized(name, kernels);
    writeFileSync(path.join(folder, `${name}.safetensors`), packedBytes(packed));
    float.close();
    copyFileSync(fileOf(name), path.join(folder, `${name}.h5`));
    copyFileSync(path.join(fixtures, `${name}.npz`), path.join(folder, `${name}.npz`));
  }
  const server = await serve(folder);
  const browser = await launch(chromium);
  try {
    const found = await resultOf<Record<string, { float: Outputs; int4: Outputs }>>(
      browser,
      `${server.origin}/plain/tfjs.html#parity`,
      'parity',
    );
    const errors = Object.entries(found).map(([name, { float, int4 }]) => [
      name,
      {
        float: errorAgainst(name, float, arraysOf(name, 'y')),
        int4: errorAgainst(name, int4, arraysOf(name, 'q')),
      },
    ]);
    return {
      version: browser.version(),
      errors: Object.fromEntries(errors) as Record<string, { float: number; int4: number }>,
    };
  } finally {
    await browser.close();
    server.close();
  }
}
