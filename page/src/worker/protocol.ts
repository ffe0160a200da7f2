import type { LevelHistogram, QuantizeReport } from 'bitnibble/pipeline';
import type { NetworkPort } from 'bitnibble/runtime';
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
  /** Of all weights as the file has them. */
  readonly weightBytes: number;
  /** Batch normalizations that can be folded into the layers before them. */
  readonly foldable: number;
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
  readonly tensors: readonly PackedTensor[];
}

export interface PackedTensor {
  readonly id: string;
  readonly className: string;
  readonly shape: readonly number[];
  /** Of codes and scales, or of the values that were kept. */
  readonly bytes: number;
  /** How it is stored, or why it was kept. */
  readonly coding: string;
  /** Of a code; absent where values were kept. */
  readonly bits?: number;
}

/** How many codes of a tensor stand for each level, in steps of their scale. */
export interface Levels {
  readonly levels: readonly { readonly value: number; readonly count: number }[];
}

/** What the runtime makes of a network. */
export type Runs =
  | {
      readonly runs: true;
      /** Of its only input or its first, without the batch. */
      readonly inputs: readonly NetworkPort[];
      readonly outputs: readonly NetworkPort[];
      /** Of weights, shared rooms and tensors. */
      readonly bytes: number;
      /** Whether it scales pixels by itself. */
      readonly rescales: boolean;
    }
  | { readonly runs: false; readonly message: string; readonly code?: string };

/** What pixels of 0 to 255 become. */
export type PixelRange = 'unit' | 'signed' | 'bytes';

export interface How {
  readonly range: PixelRange;
  /** Dark becomes bright, as for ink on paper. */
  readonly isInverted: boolean;
}

/** The answers to an image or to arrays. */
export interface Tried {
  /** What was read and what became of it. */
  readonly from: string;
  /** As the network sees it: RGBA. */
  readonly preview?: { readonly width: number; readonly height: number; readonly pixels: Uint8ClampedArray };
  readonly samples: number;
  readonly columns: readonly TriedColumn[];
  /** Where there are two columns: samples whose largest output is the same, and the largest difference of any output. */
  readonly same?: number;
  readonly difference?: number;
}

export interface TriedColumn {
  readonly title: string;
  /** Of the first output and the first sample, at most 1,000. */
  readonly scores: readonly number[];
  /** Of that output, without the batch. */
  readonly shape: readonly number[];
  /** One sample, the least of several runs. */
  readonly milliseconds: number;
}

/** A rounded model. */
export interface Rounded {
  readonly report: QuantizeReport;
  /** The packed file, whole. */
  readonly packed: Blob;
  /** Batch normalizations that were folded. */
  readonly folded: number;
  readonly seconds: number;
}

/** One of the networks that answer side by side. */
export interface Network {
  readonly id: string;
  readonly title: string;
  /** What it is, in a sentence. */
  readonly note: string;
  /** Of its packed file; of the weights alone for float32. */
  readonly bytes: number;
}

export interface Answer {
  /** Probabilities of the ten digits. */
  readonly scores: readonly number[];
  /** One image, in milliseconds: the least of several runs, where that was asked for. */
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
  /** Of a tensor of the packed file that is open. */
  levels(id: string): Promise<Levels>;
  /** Whether the runtime takes the packed file that is open, or the model as it was last rounded. */
  runs(): Promise<Runs>;
  /** Runs the float model and the rounded one, or the packed one, on an image or on arrays. */
  tryOn(file: File, how: How): Promise<Tried>;
  /** Loads the demo's networks. */
  loadNetworks(): Promise<readonly Network[]>;
  /** Answers of all networks to 28 x 28 bytes, ink 255. */
  classify(pixels: Uint8Array, isTimed: boolean): Promise<readonly Answer[]>;
  testDigit(index: number): Promise<TestDigit>;
  /** Counts right answers of every network on the test digits, a batch at a time. */
  score(onScore: (scores: readonly Score[]) => void): Promise<void>;
}
