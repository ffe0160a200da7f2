import { type Kernels, loadKernels, writePacked } from 'bitnibble';
import { type KerasModel, openKeras } from 'bitnibble/keras';
import { type LevelHistogram, levelHistogram, quantizeModel } from 'bitnibble/pipeline';
import { isPacked } from '../../../src/keras/open.js';
import { SCHEMES } from '../../../src/schemes/quantize.js';
import type { Choice } from '../schemes.js';
import { fileSource } from './file-source.js';
import { packedFacts } from './packed.js';
import type { ModelFacts, OnProgress, PackedFacts, Progress, Rounded } from './protocol.js';

type Quantized = ReturnType<typeof quantizeModel>['model'];

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

/** One model, open, and what it was last rounded to. */
export class Session {
  #kernels: Promise<Kernels> | undefined;
  #model: KerasModel | undefined;
  #quantized: Quantized | undefined;

  /** bitnibble's kernels, compiled once. */
  kernels(): Promise<Kernels> {
    this.#kernels ??= loadKernels();
    return this.#kernels;
  }

  async open(file: File, onProgress: OnProgress): Promise<ModelFacts | PackedFacts> {
    this.#model?.close();
    this.#model = undefined;
    this.#quantized = undefined;
    onProgress({ stage: 'opening', part: 0 });
    const source = fileSource(file);
    if (isPacked(source)) return packedFacts(source, file.name);
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
    };
  }

  async round({ scheme, granularity, groupSize, scale }: Choice, listener: OnProgress): Promise<Rounded> {
    const model = this.#opened();
    const onProgress = paced(listener);
    const kernels = await this.kernels();
    const start = performance.now();
    const options = { scheme, granularity, scale, ...(granularity === 'group' ? { groupSize } : {}) };
    onProgress({ stage: 'rounding', part: 0 });
    const { model: quantized, report } = quantizeModel(
      model,
      { default: options },
      { kernels, onProgress: (done, total) => onProgress({ stage: 'rounding', part: done / total }) },
    );
    this.#quantized = quantized;
    const seconds = (performance.now() - start) / 1000;
    const pieces: Uint8Array<ArrayBuffer>[] = [];
    let written = 0;
    for (const piece of writePacked(quantized)) {
      // Views of memory that is used again would not last.
      pieces.push(new Uint8Array(piece));
      written += piece.length;
      onProgress({ stage: 'writing', part: Math.min(1, written / report.bytesAfter) });
    }
    return { report, packed: new Blob(pieces, { type: 'application/octet-stream' }), seconds };
  }

  histogram(id: string, block?: number): LevelHistogram {
    const model = this.#opened();
    if (!this.#quantized) throw new Error('the model was not rounded yet');
    return levelHistogram(model, this.#quantized, id, { block, bins: this.#binsFor(id, block) });
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

  #opened(): KerasModel {
    if (!this.#model) throw new Error('no model is open');
    return this.#model;
  }
}
