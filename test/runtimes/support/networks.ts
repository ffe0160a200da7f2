import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { loadKernels } from '../../../src/kernels/index.js';
import { openKeras } from '../../../src/node/models.js';
import { packedBytes } from '../../../src/packed/index.js';
import { quantizeModel } from '../../../src/pipeline/quantize.js';
import { loadNetwork } from '../../../src/runtime/index.js';
import type { QuantizeOptions } from '../../../src/schemes/types.js';
import { fileOf } from '../../tfjs/support.js';
import { digestOf, type NetworkCase } from '../suite/networks.js';

const channel = (scheme: 'binary' | 'int2' | 'int4'): QuantizeOptions => ({ scheme, granularity: 'channel' });

/** Fixtures and how they are coded: every kind of product, all schemes, recurrent and attending layers. */
const CASES: readonly (readonly [name: string, coding: QuantizeOptions])[] = [
  ['cifar10', channel('int4')],
  ['cifar10', channel('binary')],
  ['mobilenet_v2', channel('int4')],
  ['resnet', channel('int2')],
  ['unet', { scheme: 'int4', granularity: 'group', groupSize: 8 }],
  ['conv1d', { scheme: 'int2', granularity: 'tensor' }],
  ['recurrent', channel('int4')],
  ['lstm_tagger', channel('int4')],
  ['transformer', channel('int4')],
];

/** Writes packed files and networks.json, which says what the reference makes of each in this Node.js. */
export async function writeNetworks(folder: string): Promise<void> {
  const kernels = await loadKernels();
  const cases: NetworkCase[] = [];
  for (const [name, coding] of CASES) {
    const float = await openKeras(fileOf(name));
    const bytes = packedBytes(quantizeModel(float, { default: coding }, { kernels }).model);
    float.close();
    const file = `${name}-${coding.scheme}.safetensors`;
    writeFileSync(path.join(folder, file), bytes);
    cases.push({ file, digest: digestOf(await loadNetwork(bytes, { backend: 'reference' })) });
  }
  writeFileSync(path.join(folder, 'networks.json'), JSON.stringify(cases));
}
