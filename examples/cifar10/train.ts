/**
 * Builds the CIFAR-10 network of 15 convolutions, trains it with tfjs-node, prints its accuracy and writes a Keras file.
 *
 *     npx tsx examples/cifar10/train.ts [--data cifar10] [--out cifar10-trained.h5] [--epochs 10]
 *
 * `--data` is a folder of CIFAR-10's binary release; `cifar10` downloads it once (170 MB), checks it and keeps it in the cache.
 * After each epoch the state goes to OUT.state: the same command goes on from there when it was stopped.
 */
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { deserialize, serialize } from 'node:v8';
import { progress } from '../../src/cli/progress.js';
import type { Dataset } from '../../src/data/index.js';
import { loadTensorFlow, openDataset, openKeras, saveModelWeights } from '../../src/node/index.js';
import { evaluateModel } from '../../src/pipeline/index.js';
import { buildNetwork } from './network.js';

const { values: flags } = parseArgs({
  options: {
    data: { type: 'string', default: 'cifar10' },
    out: { type: 'string', default: 'cifar10-trained.h5' },
    epochs: { type: 'string', default: '10' },
    batch: { type: 'string', default: '64' },
    rate: { type: 'string', default: '0.001' },
    seed: { type: 'string', default: '1' },
    limit: { type: 'string' },
  },
});

/** A flag as a number above 0. */
function count(name: 'epochs' | 'batch' | 'rate' | 'seed' | 'limit', whole = true): number {
  const value = Number(flags[name]);
  if (!(value > 0) || (whole && !Number.isSafeInteger(value))) {
    console.error(`--${name}: expected a ${whole ? 'whole ' : ''}number above 0, got ${flags[name]}`);
    process.exit(2);
  }
  return value;
}

const [epochs, batchSize, seed] = [count('epochs'), count('batch'), count('seed')];
const rate = count('rate', false);
const limit = flags.limit === undefined ? {} : { limit: count('limit') };
const state = `${flags.out}.state`;

/** Mulberry32: the shuffles and flips of a seed and an epoch are always the same. */
function randomOf(seed: number): () => number {
  let a = seed;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** All samples as bytes, channels last: 154 MB, a quarter of what they take as float32. */
function bytesOf(dataset: Dataset): { pixels: Uint8Array; labels: Int32Array } {
  if (!dataset.labels || dataset.inputShape.join() !== '32,32,3') {
    throw new TypeError(`${dataset.name}: expected labelled images of 32 x 32 x 3`);
  }
  const number = Math.min(dataset.count, limit.limit ?? dataset.count);
  const pixels = new Uint8Array(number * 3072);
  let at = 0;
  for (const { x } of dataset.batches({ batchSize: 500, ...limit })) {
    pixels.set(x, at);
    at += x.length;
  }
  return { pixels, labels: dataset.labels };
}

/** What the last finished epoch left. */
function savedState() {
  try {
    return deserialize(readFileSync(state));
  } catch (error) {
    console.error(`${state} is not a state that this script saved (${(error as Error).message}): remove it`);
    process.exit(1);
  }
}

const { tf, backend } = await loadTensorFlow();
if (backend !== 'tensorflow') {
  console.error(
    'training needs tfjs-node: npm install @tensorflow/tfjs-node, or see npm run tfjs-node -- --help',
  );
  process.exit(1);
}
const train = await openDataset(flags.data, { split: 'train' });
const { pixels, labels } = bytesOf(train);
const images = pixels.length / 3072;
const perEpoch = Math.ceil(images / batchSize);
const what = `${images} images of ${train.name}, batches of ${batchSize}, rate ${rate}, seed ${seed}, ${epochs} epochs`;

const network = buildNetwork(tf, seed);
const optimizer = tf.train.adam(rate);
network.compile({ optimizer, loss: 'sparseCategoricalCrossentropy' });
console.log(`${network.countParams()} parameters; ${what}`);

let first = 0;
if (existsSync(state)) {
  const saved = savedState();
  if (saved.what !== what) {
    console.error(`${state} is of another run (${saved.what}): remove it, or choose another --out`);
    process.exit(1);
  }
  network.setWeights(
    saved.weights.map((values: Float32Array, i: number) =>
      tf.tensor(values, network.weights[i]?.shape as number[]),
    ),
  );
  const named = saved.optimizer.map(
    ({ name, shape, values }: { name: string; shape: number[]; values: Float32Array }) => ({
      ...{ name, tensor: tf.tensor(values, shape) },
    }),
  );
  await optimizer.setWeights(named);
  first = saved.epoch;
  console.log(`going on after epoch ${first}, from ${state}`);
}

for (let epoch = first; epoch < epochs; epoch++) {
  const random = randomOf(seed * 1000 + epoch);
  const order = Int32Array.from({ length: images }, (_, i) => i);
  for (let i = images - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j] as number, order[i] as number];
  }
  const bar = progress({}, `epoch ${epoch + 1} of ${epochs}`, 'batches');
  let loss = 0;
  const start = performance.now();
  for (let step = 0; step < perEpoch; step++) {
    // The rate falls along a cosine over the whole run.
    const done = (epoch * perEpoch + step) / (epochs * perEpoch);
    Object.assign(optimizer, { learningRate: (rate * (1 + Math.cos(Math.PI * done))) / 2 });
    const some = order.subarray(step * batchSize, (step + 1) * batchSize);
    const x = new Float32Array(some.length * 3072);
    some.forEach((image, k) => {
      const flipped = random() < 0.5;
      for (let row = 0; row < 32; row++) {
        for (let column = 0; column < 32; column++) {
          const from = image * 3072 + 3 * (32 * row + (flipped ? 31 - column : column));
          const to = k * 3072 + 3 * (32 * row + column);
          for (let channel = 0; channel < 3; channel++)
            x[to + channel] = (pixels[from + channel] as number) / 255;
        }
      }
    });
    const inputs = tf.tensor4d(x, [some.length, 32, 32, 3]);
    const wanted = tf.tensor1d(Float32Array.from(some, (image) => labels[image] as number));
    loss += (await network.trainOnBatch(inputs, wanted)) as number;
    tf.dispose([inputs, wanted]);
    bar.update(step + 1, perEpoch);
  }
  bar.stop();
  const seconds = (performance.now() - start) / 1000;
  console.log(`epoch ${epoch + 1}: loss ${(loss / perEpoch).toFixed(4)}, ${seconds.toFixed(0)} s`);
  const weights = await Promise.all(network.getWeights().map((weight) => weight.data()));
  const ofOptimizer = await Promise.all(
    (await optimizer.getWeights()).map(async ({ name, tensor }) => ({
      ...{ name, shape: tensor.shape, values: await tensor.data() },
    })),
  );
  writeFileSync(`${state}.new`, serialize({ what, epoch: epoch + 1, weights, optimizer: ofOptimizer }));
  renameSync(`${state}.new`, state);
}

// The architecture, as Keras writes it, is that of the file beside this script; every weight is replaced.
const template = await openKeras(fileURLToPath(new URL('cifar10.h5', import.meta.url)));
const trained = network.getWeights();
const values = new Map(
  await Promise.all(
    template.weights.map(async ({ id, shape }, i): Promise<[string, Float32Array]> => {
      const weight = trained[i];
      if (weight?.shape.join() !== shape.join())
        throw new Error(`${id}: ${shape} in the file, ${weight?.shape} here`);
      return [id, (await weight.data()) as Float32Array];
    }),
  ),
);
await saveModelWeights(template, values, flags.out);
template.close();
const model = await openKeras(flags.out);
const test = await openDataset(flags.data, { split: 'test' });
const { top1, loss, samples } = await evaluateModel(tf, model, test, {
  preprocess: { scale: 1 / 255 },
  ...limit,
});
model.close();
rmSync(state, { force: true });
console.log(`accuracy ${top1.toFixed(4)}, loss ${loss.toFixed(4)} on ${samples} test images; ${flags.out}`);
