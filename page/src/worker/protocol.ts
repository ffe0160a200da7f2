import type { LevelHistogram, QuantizeReport } from 'bitnibble/pipeline';
import type { Choice } from '../schemes.js';

/** How far a piece of work is. */
export interface Progress {
  readonly stage: 'opening' | 'rounding' | 'writing';
  /** In [0, 1]. */
  readonly part: number;
}

export type OnProgress = (progress: Progress) => void;

/** What is known of a model before it is rounded. */
export interface ModelFacts {
  readonly kind: 'keras';
  readonly file: string;
  readonly bytes: number;
  readonly name: string;
  readonly kerasVersion: string;
  readonly layers: number;
  readonly parameters: number;
}

/** What the header of a packed file says: there is nothing left to round. */
export interface PackedFacts {
  readonly kind: 'packed';
  readonly file: string;
  readonly bytes: number;
  readonly kerasVersion: string;
  /** Layers with weights. */
  readonly layers: number;
  readonly parameters: number;
  /** Those that are codes. */
  readonly packedParameters: number;
  /** Of those, scales included. */
  readonly bitsPerWeight: number;
  readonly tensors: readonly {
    readonly id: string;
    readonly shape: readonly number[];
    readonly coding: string;
  }[];
}

/** A rounded model. */
export interface Rounded {
  readonly report: QuantizeReport;
  /** The packed file, whole. */
  readonly packed: Blob;
  readonly seconds: number;
}

/** One of the networks that answer side by side. */
export interface Network {
  readonly id: string;
  readonly title: string;
  /** What it is, in a sentence. */
  readonly note: string;
  /** Of its packed file. */
  readonly bytes: number;
}

export interface Answer {
  /** Probabilities of the ten digits. */
  readonly scores: readonly number[];
  /** One image, in milliseconds: the median of several runs, where that was asked for. */
  readonly milliseconds?: number;
}

/** A digit of the test set, as 28 x 28 bytes. */
export interface TestDigit {
  readonly pixels: Uint8Array;
  readonly label: number;
}

/** Right answers on test digits, so far. */
export interface Score {
  readonly right: number;
  readonly done: number;
  readonly total: number;
}

/** What the page asks of the worker. */
export interface Api {
  /** Opens a model, or says what is in a packed file; the one before is closed. */
  open(file: File, onProgress: OnProgress): Promise<ModelFacts | PackedFacts>;
  round(choice: Choice, onProgress: OnProgress): Promise<Rounded>;
  /** Of the model as it was last rounded. */
  histogram(id: string, block?: number): Promise<LevelHistogram>;
  /** Loads the demo's networks, into TensorFlow.js. */
  loadNetworks(): Promise<readonly Network[]>;
  /** Answers of all networks to 28 x 28 bytes, ink 255. */
  classify(pixels: Uint8Array, isTimed: boolean): Promise<readonly Answer[]>;
  testDigit(index: number): Promise<TestDigit>;
  /** Counts right answers of every network on the test digits, a batch at a time. */
  score(onScore: (scores: readonly Score[]) => void): Promise<void>;
}
