// Packed networks whose architecture, list of weights or bytes are changed, made ready to run without TensorFlow.js, and run once.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { openKeras } from '../../src/keras/index.js';
import { loadKernels } from '../../src/kernels/index.js';
import { packedBytes } from '../../src/packed/index.js';
import { quantizeModel } from '../../src/pipeline/quantize.js';
import { loadNetwork } from '../../src/runtime/index.js';
import { mutatedText, mutateSeveral, randomFrom } from './fuzz-cases.js';
import { type FuzzKind, pick, type Random } from './fuzz-kind.js';
import { root } from './project.js';

/** Small networks of many operations, all of which the runtime runs. */
const NAMES = [
  'recurrent',
  'attention',
  'mobilenet_v2',
  'unet',
  'transformer',
  'lstm_tagger',
  'graph_siamese',
  'conv1d',
];
/** What a page that runs a stranger's file would allow. */
const MEMORY = 2 ** 26;
/** Values of all inputs and outputs of a network that is run as well. */
const VALUES = 2 ** 16;

const kernels = await loadKernels();
const files: Uint8Array[] = [];
for (const [i, name] of NAMES.entries()) {
  const file = path.join(root, 'test/fixtures/tfjs', `${name}.h5`);
  const model = await openKeras(new Uint8Array(readFileSync(file)), name);
  const scheme = (['int4', 'int2', 'binary'] as const)[i % 3] as 'int4';
  files.push(packedBytes(quantizeModel(model, { default: { scheme } }, { kernels }).model));
  model.close();
}

/** Bytes with another header: its length, itself, the data as they are. */
function withHeader(bytes: Uint8Array, change: (metadata: Record<string, string>) => void): Uint8Array {
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  const json = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  change(json.__metadata__);
  const header = new TextEncoder().encode(JSON.stringify(json));
  const size = new Uint8Array(8);
  new DataView(size.buffer).setUint32(0, header.length, true);
  return new Uint8Array(Buffer.concat([size, header, bytes.subarray(8 + length)]));
}

/** A number of the architecture becomes another one: lengths, strides, axes, units. */
function otherNumber(text: string, random: Random): string {
  const numbers = [...text.matchAll(/-?\d+(?:\.\d+)?/g)];
  const at = pick(random, numbers);
  const value = Number(at[0]);
  const other = pick(random, [
    value + 1,
    value - 1,
    -value,
    2 * value,
    0,
    -1,
    1.5,
    1e4,
    2 ** 20,
    2 ** 31,
    1e15,
  ]);
  return text.slice(0, at.index) + other + text.slice(at.index + at[0].length);
}

function bytesOf(random: Random): Uint8Array {
  const file = pick(random, files);
  const way = random(8);
  if (way === 0) return mutateSeveral(file, random);
  return withHeader(file, (metadata) => {
    const key = way === 1 ? 'weights' : 'architecture';
    for (let times = 1 + random(2); times > 0; times--) {
      const text = metadata[key] as string;
      metadata[key] =
        random(2) === 0
          ? otherNumber(text, random)
          : new TextDecoder().decode(mutatedText(new TextEncoder().encode(text), random));
    }
  });
}

/** Errors of a call, not of the file: lengths that the caller has to fix, values that are no numbers or no tokens. */
const ASKS_CALLER = /in the option shapes|expected finite inputs|expected integers from 0 to/;

export const runtime: FuzzKind = {
  name: 'runtime',
  cases: 4000,
  async prepare(number, seed) {
    const random = randomFrom(`runtime ${seed} ${number}`);
    const bytes = bytesOf(random);
    const weights = random(2) === 0 ? 'packed' : 'decoded';
    return async () => {
      try {
        const network = await loadNetwork(bytes, { weights, memoryLimit: MEMORY });
        const { inputs, outputs } = network;
        const size = ({ shape }: { shape: readonly number[] }) => shape.reduce((n, d) => n * d, 1);
        if ([...inputs, ...outputs].reduce((sum, port) => sum + size(port), 0) <= VALUES) {
          const results = network.run(
            Object.fromEntries(inputs.map((port) => [port.name, new Float32Array(size(port)).fill(1)])),
          );
          const arrays = results instanceof Float32Array ? [results] : Object.values(results);
          for (const array of arrays)
            if (!outputs.some((port) => size(port) === array.length))
              throw new Error(`${array.length} values that no output has`);
        }
        network.dispose();
      } catch (error) {
        if (!(error instanceof RangeError && ASKS_CALLER.test(error.message))) throw error;
      }
    };
  },
};
