import type { LayersModel, Tensor } from '@tensorflow/tfjs';
import type { Kernels } from 'bitnibble';
import { type Dataset, readIdxDataset } from 'bitnibble/data';
import { bytesSource, openKeras } from 'bitnibble/keras';
import { packedHandler, type TensorFlow } from 'bitnibble/tfjs';
import modelUrl from '../../../examples/digits/digits.h5?url';
import imagesUrl from '../../../examples/digits/test-images-idx3-ubyte.gz?url';
import labelsUrl from '../../../examples/digits/test-labels-idx1-ubyte.gz?url';
import { COLUMNS, packedFileOf } from './networks.js';
import type { Answer, Network, Score, TestDigit } from './protocol.js';
import { loadTensorFlow } from './tensorflow.js';

const PIXELS = 28 * 28;
const CLASSES = 10;
/** Test digits between two looks at the message queue. */
const BATCH = 25;
/** A time is the median of so many. */
const TIMED_RUNS = 15;

async function fetchBytes(url: string): Promise<Uint8Array> {
  const response = await fetch(new URL(url, import.meta.url));
  if (!response.ok) throw new Error(`${url} cannot be loaded: HTTP status ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? Number.NaN;
}

/** The demo's networks in TensorFlow.js, and its test digits. */
export class Classifier {
  private constructor(
    private readonly tf: TensorFlow,
    readonly networks: readonly Network[],
    private readonly models: readonly LayersModel[],
    private readonly digits: Dataset,
  ) {}

  static async load(kernels: Kernels): Promise<Classifier> {
    const [tf, file, images, labels] = (await Promise.all([
      loadTensorFlow(),
      ...[modelUrl, imagesUrl, labelsUrl].map(fetchBytes),
    ])) as [TensorFlow, Uint8Array, Uint8Array, Uint8Array];
    const demo = await openKeras(bytesSource(file), 'digits.h5');
    const networks: Network[] = [];
    const models: LayersModel[] = [];
    try {
      for (const column of COLUMNS) {
        const bytes = await packedFileOf(column, demo, kernels);
        models.push(await tf.loadLayersModel(packedHandler(bytes, { tf, kernels })));
        const { id, title, note } = column;
        networks.push({ id, title, note, bytes: bytes.length });
      }
    } finally {
      demo.close();
    }
    const digits = readIdxDataset(
      { name: 'test images', bytes: images },
      { name: 'test labels', bytes: labels },
    );
    const classifier = new Classifier(tf, networks, models, digits);
    // The first run of a model makes its kernels; it is not what a user waits for later.
    classifier.classify(new Uint8Array(PIXELS), false);
    return classifier;
  }

  classify(pixels: Uint8Array, isTimed: boolean): Answer[] {
    const image = Float32Array.from(pixels, (pixel) => pixel / 255);
    const once = (model: LayersModel) => [...this.#run(model, image, 1)];
    if (!isTimed) return this.models.map((model) => ({ scores: once(model) }));
    const scores: number[][] = [];
    const times = this.models.map((): number[] => []);
    // In turns, so that what else the machine does falls on all of them.
    for (let run = 0; run < TIMED_RUNS; run++) {
      for (const [i, model] of this.models.entries()) {
        const start = performance.now();
        scores[i] = once(model);
        times[i]?.push(performance.now() - start);
      }
    }
    return scores.map((found, i) => ({ scores: found, milliseconds: median(times[i] ?? []) }));
  }

  testDigit(index: number): TestDigit {
    const [digit] = this.digits.batches({ indices: [index % this.digits.count] });
    if (!digit) throw new Error(`there is no test digit ${index}`);
    return { pixels: Uint8Array.from(digit.x), label: digit.y[0] as number };
  }

  /** Between batches other messages are answered. */
  async score(onScore: (scores: readonly Score[]) => void): Promise<void> {
    const right = this.models.map(() => 0);
    let done = 0;
    for (const { x, y, size } of this.digits.batches({ batchSize: BATCH, preprocess: { scale: 1 / 255 } })) {
      for (const [i, model] of this.models.entries()) {
        const scores = this.#run(model, x, size);
        for (let n = 0; n < size; n++) {
          const own = scores.subarray(n * CLASSES, (n + 1) * CLASSES);
          if (own.indexOf(Math.max(...own)) === y[n]) right[i] = (right[i] as number) + 1;
        }
        await new Promise((resolve) => setTimeout(resolve));
      }
      done += size;
      onScore(right.map((count) => ({ right: count, done, total: this.digits.count })));
    }
  }

  #run(model: LayersModel, images: Float32Array, count: number): Float32Array {
    return this.tf.tidy(() => {
      const input = this.tf.tensor(images, [count, 28, 28, 1]);
      return (model.predict(input, { batchSize: count }) as Tensor).dataSync() as Float32Array;
    });
  }
}
