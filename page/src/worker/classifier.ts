import type { Kernels } from 'bitnibble';
import type { Dataset } from 'bitnibble/data';
import { bytesSource, openKeras } from 'bitnibble/keras';
import { loadNetwork, type RunnableNetwork } from 'bitnibble/runtime';
import modelUrl from '../../../examples/digits/digits.h5?url';
import imagesUrl from '../../../examples/digits/test-images-idx3-ubyte.gz?url';
import labelsUrl from '../../../examples/digits/test-labels-idx1-ubyte.gz?url';
import { readIdxDataset } from '../../../src/data/arrays.js';
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
  /** Counts of right answers that were begun: the last one alone goes on. */
  #counts = 0;

  private constructor(
    readonly networks: Network[],
    private readonly runnable: RunnableNetwork[],
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

  /** A calibrated network takes the place of the one of its scheme. */
  async replace(scheme: string, bytes: Uint8Array, samples: number): Promise<void> {
    const at = this.networks.findIndex(({ id }) => id === scheme);
    const old = this.networks[at];
    if (!old) return;
    this.runnable[at] = await loadNetwork(bytes, { name: old.title });
    const note = `Calibrated here: each layer is fitted to what it sees on ${samples.toLocaleString('en')} samples.`;
    this.networks[at] = { ...old, note, bytes: bytes.length, isCalibrated: true };
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
    const own = ++this.#counts;
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
      if (own !== this.#counts) return;
      done += size;
      onScore(right.map((count) => ({ right: count, done, total: this.digits.count })));
    }
  }
}
