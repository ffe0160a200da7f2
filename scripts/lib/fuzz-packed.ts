// Packed files whose fields are of other types, whose scales are extreme, whose names are long.
import { bytesAccess } from '../../src/formats/random-access.js';
import { loadKernels } from '../../src/kernels/index.js';
import {
  openPacked,
  type PackedWeight,
  packedBytes,
  QuantizedModel,
  streamPacked,
} from '../../src/packed/index.js';
import { openPackedSource } from '../../src/packed/read-source.js';
import { quantizeTensor } from '../../src/schemes/quantize.js';
import { randomFrom } from './fuzz-cases.js';
import { type FuzzKind, pick, type Random } from './fuzz-kind.js';

const kernels = await loadKernels();

/** A packed file with a weight of every scheme. */
export function samplePacked(): Uint8Array<ArrayBuffer> {
  const values = Float32Array.from({ length: 60 }, (_, i) => Math.sin(i));
  const weights = (['int4', 'int2', 'binary'] as const).flatMap((scheme): PackedWeight[] => [
    {
      ...{ id: `d/${scheme}`, layer: 'd', className: 'Dense', name: scheme, shape: [6, 10], dtype: 'F32' },
      kind: 'quantized',
      tensor: quantizeTensor(kernels, values, [6, 10], { scheme, granularity: 'group', groupSize: 4 }),
    },
    {
      ...{ id: `d/${scheme}_bias`, layer: 'd', className: 'Dense', name: 'bias', shape: [60], dtype: 'F32' },
      ...{ kind: 'kept', reason: 'vector', bytes: () => new Uint8Array(values.buffer) },
    },
  ]);
  const architecture = { class_name: 'Sequential', config: { name: 's', layers: [] } };
  const info = { file: 'm', architecture, kerasVersion: '3', backend: '' };
  return packedBytes(new QuantizedModel(info, weights, kernels)) as Uint8Array<ArrayBuffer>;
}

const plain = samplePacked();
const headerBytes = new DataView(plain.buffer).getUint32(0, true);
const header = new TextDecoder().decode(plain.subarray(8, 8 + headerBytes));
const ODD = [
  ['int4'],
  {},
  4,
  null,
  true,
  [],
  [[]],
  '',
  -1,
  1.5,
  2 ** 53,
  'x',
  [1, 1],
  [0.5],
  '__proto__',
  'keep',
];

function spoil(object: Record<string, unknown>, random: Random): void {
  const keys = Object.keys(object);
  const key = pick(random, [...keys, 'group_size', 'axes', 'reason']);
  if (random(5) === 0) delete object[key];
  else if (random(20) === 0) object[key] = 'n'.repeat(1 << random(20));
  else object[key] = random(3) === 0 ? object[pick(random, keys)] : pick(random, ODD);
}

function bytesOf(random: Random): Uint8Array {
  const json = JSON.parse(header);
  const metadata = json.__metadata__;
  for (let times = 1 + random(2); times > 0; times--) {
    const weights = JSON.parse(metadata.weights);
    const target = pick(random, [metadata, json[pick(random, Object.keys(json))], ...weights, ...weights]);
    spoil(target, random);
    if (target === metadata) break;
    metadata.weights = JSON.stringify(weights);
  }
  const text = new TextEncoder().encode(JSON.stringify(json));
  const bytes = new Uint8Array(Buffer.concat([new Uint8Array(8), text, plain.subarray(8 + headerBytes)]));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, text.length, true);
  if (random(4) === 0) {
    const at = 8 + text.length + 4 * random(60);
    view.setFloat32(at, pick(random, [3e38, -3e38, 1e-45, Number.NaN, Number.POSITIVE_INFINITY]), true);
  }
  return bytes;
}

async function* whole(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 4096) yield bytes.subarray(at, at + 4096);
}

export const packedFields: FuzzKind = {
  name: 'packed fields',
  cases: 4000,
  async prepare(number, seed) {
    const bytes = bytesOf(randomFrom(`packed ${seed} ${number}`));
    return async () => {
      if (number % 3 === 0) {
        for await (const _ of streamPacked(whole(bytes), kernels));
        return;
      }
      const model =
        number % 3 === 1
          ? openPacked(bytes, kernels)
          : openPackedSource(bytesAccess(bytes), kernels, 'packed');
      for (const { id } of model.weights) model.read(id);
    };
  },
};
