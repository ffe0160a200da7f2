import { readFileSync } from 'node:fs';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { loadKernels } from '../../../src/kernels/index.js';
import { openKeras } from '../../../src/node/models.js';
import { packedBytes } from '../../../src/packed/index.js';
import { quantizeModel } from '../../../src/pipeline/quantize.js';
import { foldBatchNorm } from '../../../src/pipeline/transform/fold.js';
import { root } from '../../support/needs.js';

const folder = path.join(root, 'examples', 'digits');

/** The demo model as a packed file, by default int4, a scale per channel; folded as the command `quantize` does. */
export async function packedDigits(
  isFolded = false,
  scheme: 'binary' | 'int4' = 'int4',
): Promise<Uint8Array<ArrayBuffer>> {
  const float = await openKeras(path.join(folder, 'digits.h5'));
  try {
    const kernels = await loadKernels();
    const source = isFolded ? foldBatchNorm(float).source : float;
    const { model } = quantizeModel(source, { default: { scheme } }, { kernels });
    return packedBytes(model) as Uint8Array<ArrayBuffer>;
  } finally {
    float.close();
  }
}

/** The first test digits, 784 bytes each, and what they are. */
export function testDigits(count: number): { pixels: Uint8Array<ArrayBuffer>; labels: number[] } {
  const idx = (name: string) => new Uint8Array(gunzipSync(readFileSync(path.join(folder, name))));
  return {
    pixels: idx('test-images-idx3-ubyte.gz').slice(16, 16 + 784 * count),
    labels: [...idx('test-labels-idx1-ubyte.gz').slice(8, 8 + count)],
  };
}
