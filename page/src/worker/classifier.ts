import type { Kernels } from 'bitnibble';
import { type Dataset, readIdxDataset } from 'bitnibble/data';
import { bytesSource, openKeras } from 'bitnibble/keras';
import { loadNetwork, type RunnableNetwork } from 'bitnibble/runtime';
import modelUrl from '../../../examples/digits/digits.h5?url';
import imagesUrl from '../../../examples/digits/test-images-idx3-ubyte.gz?url';
import labelsUrl from '../../../examples/digits/test-labels-idx1-ubyte.gz?url';
import { COLUMNS, packedFileOf } from './networks.js';
import type { Answer, Network, Score, TestDigit } from './protocol.js';
import { weightBytes } from './session.js';
import { timesOf } from './trial.js';

const CLASSES = 10;
/** Test digits between two looks at the message queue. */
const BATCH = 25;

async function fetchBytes(url: string): Promise<Uint8Array> {
  const response = await fetch(new URL(url, import.meta.url));
  if (!response.ok) throw new Error(`${url} cannot be loaded: HTTP status ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

/** The demo's networks, run by bitnibble's runtime from their packed files, and its test digits. */
export class Classifier {
  private constructor(
    readonly networks: readonly Network[],
    private readonly runnable: readonly RunnableNetwork[],
    private readonly digits: Dataset,
  ) {}

  static async load(kernels: Kernels): Promise<Classifier> {
    const [file, images, labels] = (await Promise.all([modelUrl, imagesUrl, labelsUrl].map(fetchBytes))) as [
      Uint8Array,
      Uint8Array,
      Uint8Array,
    ];
    const demo = await openKeras(bytesSource(file), 'digits.h5');
    const networks: Network[] = [];
    const runnable: RunnableNetwork[] = [];
    try {
      for (const column of COLUMNS) {
        const bytes = await packedFileOf(column, demo, kernels);
        runnable.push(await loadNetwork(bytes, { name: column.title }));
        const { id, title, note } = column;
        networks.push({ id, title, note, bytes: id === 'float32' ? weightBytes(demo) : bytes.length });
      }
    } finally {
      demo.close();
    }
    const digits = readIdxDataset(
      { name: 'test images', bytes: images },
      { name: 'test labels', bytes: labels },
    );
    return new Classifier(networks, runnable, digits);
  }

  classify(pixels: Uint8Array, isTimed: boolean): Answer[] {
    const image = Float32Array.from(pixels, (pixel) => pixel / 255);
    const found = this.runnable.map((network) => ({ scores: [...network.run(image)] }));
    if (!isTimed) return found;
    const times = timesOf(this.runnable.map((network) => () => void network.run(image)));
    return found.map((answer, i) => ({ ...answer, milliseconds: times[i] }));
  }

  testDigit(index: number): TestDigit {
    const [digit] = this.digits.batches({ indices: [index % this.digits.count] });
    if (!digit) throw new Error(`there is no test digit ${index}`);
    return { pixels: Uint8Array.from(digit.x), label: digit.y[0] as number };
  }

  /** Between batches other messages are answered. */
  async score(onScore: (scores: readonly Score[]) => void): Promise<void> {
    const right = this.runnable.map(() => 0);
    let done = 0;
    for (const { x, y, size } of this.digits.batches({ batchSize: BATCH, preprocess: { scale: 1 / 255 } })) {
      for (const [i, network] of this.runnable.entries()) {
        const scores = network.run(x);
        for (let n = 0; n < size; n++) {
          const own = scores.subarray(n * CLASSES, (n + 1) * CLASSES);
          if (own.indexOf(Math.max(...own)) === y[n]) right[i] = (right[i] as number) + 1;
        }
      }
      await new Promise((resolve) => setTimeout(resolve));
      done += size;
      onScore(right.map((count) => ({ right: count, done, total: this.digits.count })));
    }
  }
}
