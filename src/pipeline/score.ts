import type { OutputKind } from './outputs.js';

const CLIP = 1e-7;

/** What {@link Score} has counted. */
export interface Scores {
  /** Mean of `-log p(label)`, `p` clipped at 1e-7; NaN where an output is. */
  readonly loss: number;
  /** Share of samples whose label has the largest output, in [0, 1]; the first of equal outputs counts. */
  readonly top1: number;
  /** Share of samples whose label is among the five largest; absent below six classes. */
  readonly top5?: number;
  readonly samples: number;
}

/** Loss and accuracies of a classifier, sample by sample. */
export class Score {
  #samples = 0;
  #loss = 0;
  #top1 = 0;
  #top5 = 0;

  /** @param classes outputs of a sample; 2 where it is one probability */
  constructor(
    readonly kind: OutputKind,
    readonly classes: number,
  ) {}

  /**
   * Counts one sample.
   * @param row the model's outputs
   * @param label in `[0, classes)`
   * @returns the class with the largest output, the first of equal ones; -1 where no output is a number
   */
  add(row: Float32Array, label: number): number {
    const p = probabilitiesOf(row, this.kind);
    const own = p[label] as number;
    let above = Number.isNaN(own) ? this.classes : 0;
    let answer = -1;
    for (let c = 0; c < this.classes; c++) {
      const value = p[c] as number;
      if (value > own || (value === own && c < label)) above++;
      if (!Number.isNaN(value) && (answer < 0 || value > (p[answer] as number))) answer = c;
    }
    this.#loss -= Math.log(Math.min(Math.max(own, CLIP), 1 - CLIP));
    if (above === 0) this.#top1++;
    if (above < 5) this.#top5++;
    this.#samples++;
    return answer;
  }

  /** Counts one sample whose outputs are no numbers. */
  addWrong(): void {
    this.#loss = Number.NaN;
    this.#samples++;
  }

  get scores(): Scores {
    const samples = this.#samples;
    return {
      loss: this.#loss / samples,
      top1: this.#top1 / samples,
      ...(this.classes > 5 ? { top5: this.#top5 / samples } : {}),
      samples,
    };
  }
}

/** Outputs of one sample as probabilities of classes. */
function probabilitiesOf(row: Float32Array, kind: OutputKind): ArrayLike<number> {
  if (kind === 'probability') return [1 - (row[0] as number), row[0] as number];
  return kind === 'probabilities' ? row : softmax(row);
}

function softmax(row: Float32Array): Float64Array {
  const max = row.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const exps = Float64Array.from(row, (v) => Math.exp(v - max));
  const sum = exps.reduce((a, b) => a + b, 0);
  return exps.map((e) => e / sum);
}
