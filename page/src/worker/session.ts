import {
  BitnibbleError,
  type Kernels,
  loadKernels,
  openPacked,
  type QuantizedModel,
  type SchemeName,
  writePacked,
} from 'bitnibble';
import { type KerasModel, openKeras } from 'bitnibble/keras';
import type { LevelHistogram } from 'bitnibble/pipeline';
import { isPacked } from '../../../src/keras/open.js';
import { DTYPE_BYTES } from '../../../src/model.js';
// Not from bitnibble/pipeline: with it, what calibrates would be fetched with the first file.
import { levelHistogram } from '../../../src/pipeline/histogram.js';
import { quantizeModel } from '../../../src/pipeline/quantize.js';
import { foldBatchNorm } from '../../../src/pipeline/transform/fold.js';
import { SCHEMES } from '../../../src/schemes/quantize.js';
import { sizeOf } from '../../../src/shape.js';
import { type Choice, folds } from '../schemes.js';
import { fileSource } from './file-source.js';
import { PackedFile } from './packed.js';
import type {
  How,
  Levels,
  ModelFacts,
  OnProgress,
  PackedFacts,
  Progress,
  Rounded,
  Runs,
  Tried,
} from './protocol.js';
import { Trial, type TrialEntry } from './trial.js';

type Quantized = ReturnType<typeof quantizeModel>['model'];
type Source = KerasModel | ReturnType<typeof foldBatchNorm>['source'];

/** Bytes of a packed file that is run: all of it is held in memory. */
const MOST_RUN = 2 ** 29;

/** Milliseconds between two messages about progress. */
const BEAT = 50;

/** Of many calls one goes through now and then, and each stage's last. */
export function paced(onProgress: OnProgress): OnProgress {
  let last = 0;
  let stage: Progress['stage'] | undefined;
  return (progress) => {
    const now = performance.now();
    if (progress.part < 1 && progress.stage === stage && now - last < BEAT) return;
    last = now;
    stage = progress.stage;
    onProgress(progress);
  };
}

/** One model, open, and what it was last rounded to; or a packed file. */
export class Session {
  #kernels: Promise<Kernels> | undefined;
  #model: KerasModel | undefined;
  /** The model as it is rounded: its normalizations folded where that was chosen. */
  #source: Source | undefined;
  #quantized: Quantized | undefined;
  #scheme: SchemeName | undefined;
  #packed: { readonly file: File; readonly contents: PackedFile } | undefined;
  /** Calibrated models of the open one. */
  readonly #calibrated = new Map<SchemeName, Blob>();
  /** Of what is open now; made when it is asked for. */
  #trial: Promise<Trial> | undefined;

  /** bitnibble's kernels, compiled once. */
  kernels(): Promise<Kernels> {
    this.#kernels ??= loadKernels();
    return this.#kernels;
  }

  async open(file: File, onProgress: OnProgress): Promise<ModelFacts | PackedFacts> {
    this.#model?.close();
    this.#model = undefined;
    this.#quantized = undefined;
    this.#source = undefined;
    this.#packed = undefined;
    this.#trial = undefined;
    this.#calibrated.clear();
    onProgress({ stage: 'opening', part: 0 });
    const source = fileSource(file);
    if (isPacked(source)) {
      this.#packed = { file, contents: new PackedFile(source, file.name) };
      return this.#packed.contents.facts;
    }
    const model = await openKeras(source, file.name);
    this.#model = model;
    onProgress({ stage: 'opening', part: 1 });
    const { name, kerasVersion, layers, parameters } = model;
    return {
      kind: 'keras',
      file: file.name,
      bytes: file.size,
      name,
      kerasVersion,
      layers: layers.length,
      parameters,
      weightBytes: weightBytes(model),
      foldable: foldable(model),
    };
  }

  async round(choice: Choice, listener: OnProgress): Promise<Rounded> {
    const { scheme, granularity, groupSize, scale } = choice;
    const model = this.opened();
    const onProgress = paced(listener);
    const kernels = await this.kernels();
    const start = performance.now();
    const folding = folds(choice) ? foldBatchNorm(model) : undefined;
    const source = folding?.folded.length ? folding.source : model;
    const options = { scheme, granularity, scale, ...(granularity === 'group' ? { groupSize } : {}) };
    onProgress({ stage: 'rounding', part: 0 });
    const { model: quantized, report } = quantizeModel(
      source,
      { default: options },
      { kernels, onProgress: (done, total) => onProgress({ stage: 'rounding', part: done / total }) },
    );
    this.#source = source;
    this.#quantized = quantized;
    this.#scheme = scheme;
    this.#trial = undefined;
    const seconds = (performance.now() - start) / 1000;
    const packed = packedBlob(quantized, report.bytesAfter, (part) => onProgress({ stage: 'writing', part }));
    return { report, packed, folded: folding?.folded.length ?? 0, seconds };
  }

  /** A calibrated model answers beside the rounded one of its scheme. */
  setCalibrated(scheme: SchemeName, packed: Blob): void {
    this.#calibrated.set(scheme, packed);
    this.#trial = undefined;
  }

  histogram(id: string, block?: number): LevelHistogram {
    if (!this.#source || !this.#quantized) throw new Error('the model was not rounded yet');
    return levelHistogram(this.#source, this.#quantized, id, { block, bins: this.#binsFor(id, block) });
  }

  levels(id: string): Levels {
    if (!this.#packed) throw new Error('no packed file is open');
    return this.#packed.contents.levels(id);
  }

  async runs(): Promise<Runs> {
    return (await this.#trialOf()).runs();
  }

  async tryOn(file: File, how: How): Promise<Tried> {
    return (await this.#trialOf()).tryOn(file, how);
  }

  #trialOf(): Promise<Trial> {
    this.#trial ??= this.#makeTrial();
    return this.#trial;
  }

  async #makeTrial(): Promise<Trial> {
    if (this.#packed) {
      const { file } = this.#packed;
      if (file.size > MOST_RUN)
        throw new BitnibbleError('too-large', `${file.name}: the page runs files of at most 512 MiB`);
      const bytes = new Uint8Array(await file.arrayBuffer());
      return new Trial([{ title: 'packed', source: openPacked(bytes, await this.kernels(), file.name) }]);
    }
    const rounded = this.#quantized;
    if (!rounded) throw new Error('the model was not rounded yet');
    const entries: TrialEntry[] = [
      { title: 'float32, before', source: this.opened() },
      { title: 'rounded, after', source: rounded },
    ];
    const calibrated = this.#scheme && this.#calibrated.get(this.#scheme);
    if (calibrated) {
      const bytes = new Uint8Array(await calibrated.arrayBuffer());
      entries.push({ title: 'calibrated', source: openPacked(bytes, await this.kernels(), 'calibrated') });
    }
    return new Trial(entries);
  }

  /** Few weights in many bins are a comb. */
  #binsFor(id: string, block?: number): number {
    const weight = this.#quantized?.weight(id);
    if (weight?.kind !== 'quantized') return 1;
    const { codes, scales, coding } = weight.tensor;
    const weights = (8 / SCHEMES[coding.scheme].bits) * codes.length;
    const counted = block === undefined ? weights : weights / scales.length;
    return counted < 400 ? 32 : counted < 4000 ? 64 : 112;
  }

  /** The open model. */
  opened(): KerasModel {
    if (!this.#model) throw new Error('no model is open');
    return this.#model;
  }
}

/** The packed file of a model, piece by piece. @param size of its weights, for `onPart`, which is told what part is written */
export function packedBlob(model: QuantizedModel, size: number, onPart: (part: number) => void): Blob {
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  let written = 0;
  for (const piece of writePacked(model)) {
    // Views of memory that is used again would not last.
    pieces.push(new Uint8Array(piece));
    written += piece.length;
    onPart(Math.min(1, written / size));
  }
  return new Blob(pieces, { type: 'application/octet-stream' });
}

/** Bytes of all weights as a file has them. */
export const weightBytes = ({ weights }: KerasModel) =>
  weights.reduce(
    (sum, { shape, dtype, stored }) => sum + (stored?.bytes ?? sizeOf(shape) * DTYPE_BYTES[dtype]),
    0,
  );

/** Batch normalizations that can be folded; none where there is no architecture that says what follows what. */
function foldable(model: KerasModel): number {
  try {
    return foldBatchNorm(model).folded.length;
  } catch (error) {
    if (error instanceof BitnibbleError) return 0;
    throw error;
  }
}
