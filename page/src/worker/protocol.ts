import type { SchemeName } from 'bitnibble';
import type { Preprocess } from 'bitnibble/data';
import type { CheckReport, LevelHistogram, QuantizeReport } from 'bitnibble/pipeline';
import type { NetworkPort } from 'bitnibble/runtime';
import type { Choice } from '../schemes.js';

/** How far a piece of work is. */
export interface Progress {
  readonly stage: 'opening' | 'rounding' | 'writing' | 'reading';
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

/** A file of data with its path: below the folder that was chosen or dropped, and its name first, where it is in one. */
export interface DataFile {
  readonly path: string;
  readonly file: File;
}

/** How the values of an input become those that the network takes. */
export interface Reading {
  /** What is done, and when it is right. */
  readonly label: string;
  readonly preprocess: Preprocess;
}

/** An array that samples are made of. */
export interface DataInput {
  /** The network's name of it. */
  readonly name: string;
  /** Of a sample. */
  readonly shape: readonly number[];
  /** What can be meant; the first one is taken where nothing is unclear. */
  readonly readings: readonly Reading[];
  /** Why the first one is taken; empty where nothing but custom speaks for it. */
  readonly why: string;
  /** What is at odds: somebody has to choose. */
  readonly unclear?: string;
}

/** Data that was opened beside a model. */
export interface DataFacts {
  readonly name: string;
  readonly samples: number;
  readonly inputs: readonly DataInput[];
  /** What is known of the right answers. */
  readonly answers: 'classes' | 'numbers' | 'none';
  /** How many classes there are, or why something is none. */
  readonly note: string;
}

/** Files to calibrate with, and to check on where they are others. */
export interface DataRequest {
  readonly files: readonly DataFile[];
  readonly check?: readonly DataFile[];
}

/** How a model is to be calibrated. */
export interface CalibrationRequest {
  /** The scheme aside. */
  readonly choice: Choice;
  readonly schemes: readonly SchemeName[];
  /** For each input, which of its readings. */
  readonly readings: readonly number[];
  /** Samples at most. */
  readonly samples: number;
}

/** How far a calibration is. */
export interface CalibrationProgress {
  readonly scheme: SchemeName;
  /** Layers done, and in all. */
  readonly done: number;
  readonly total: number;
  /** The one that was done last; empty before the first. */
  readonly layer: string;
  /** Of the outputs on the first samples, after so many layers: the last is the latest. */
  readonly fall: readonly { readonly done: number; readonly divergence: number }[];
}

export type OnCalibration = (progress: CalibrationProgress) => void;

/** A model that was calibrated to one scheme. */
export interface CalibratedModel {
  readonly scheme: SchemeName;
  /** What it was calibrated by. */
  readonly choice: Choice;
  readonly packed: Blob;
  /** Samples that it was fitted to. */
  readonly samples: number;
  readonly fall: CalibrationProgress['fall'];
  /** On the samples that it was fitted to. */
  readonly divergence: { readonly calibrated: number; readonly dataFree: number };
  /** On samples that nothing was fitted to, where there are enough; and how these were chosen. */
  readonly check?: CheckReport & { readonly how: string };
  /** Whether rounding was no worse, and was kept. */
  readonly isRounded: boolean;
  readonly warnings: readonly string[];
  readonly seconds: number;
}

/** The answers to an image or to arrays. */
export interface Tried {
  /** What was read and what became of it. */
  readonly from: string;
  /** As the network sees it: RGBA. */
  readonly preview?: { readonly width: number; readonly height: number; readonly pixels: Uint8ClampedArray };
  readonly samples: number;
  readonly columns: readonly TriedColumn[];
}

export interface TriedColumn {
  readonly title: string;
  /** Of the first output and the first sample, at most 1,000. */
  readonly scores: readonly number[];
  /** Of that output, without the batch. */
  readonly shape: readonly number[];
  /** One sample, the least of several runs. */
  readonly milliseconds: number;
  /** Against the first column: samples whose largest output is the same, and the largest difference of any output. */
  readonly against?: { readonly same: number; readonly difference: number };
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
  /** Whether it was fitted to samples in this page. */
  readonly isCalibrated?: boolean;
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
  /** Runs the float model, the rounded one and the calibrated one of the same scheme, or the packed one, on an image or on arrays. */
  tryOn(file: File, how: How): Promise<Tried>;
  /** Opens data to calibrate the open model with. */
  openData(request: DataRequest, onProgress: OnProgress): Promise<DataFacts>;
  /** Calibrates the open model with the data that was opened last, scheme by scheme. */
  calibrate(
    request: CalibrationRequest,
    onProgress: OnCalibration,
    onModel: (model: CalibratedModel) => unknown,
  ): Promise<void>;
  /** Has a calibrated model answer beside the rounded one of the same scheme, and among the demo's networks in its place. */
  answerBy(scheme: SchemeName, packed: Blob, samples: number): Promise<void>;
  /** Loads the demo's networks. */
  loadNetworks(): Promise<readonly Network[]>;
  /** Answers of all networks to 28 x 28 bytes, ink 255. */
  classify(pixels: Uint8Array, isTimed: boolean): Promise<readonly Answer[]>;
  testDigit(index: number): Promise<TestDigit>;
  /** Counts right answers of every network on the test digits, a batch at a time. */
  score(onScore: (scores: readonly Score[]) => void): Promise<void>;
}
