import type { Dataset } from '../../data/index.js';
import type { QuantizableModel } from '../../model.js';
import type { Backend } from '../backend.js';
import { type AppliedVariant, applyVariant, type Variant, type VariantOptions } from '../compare.js';
import type { OutputKind } from '../outputs.js';
import { accuracyByClass, compareAnswers, confusionOf, movedCounts } from './classes.js';
import { paretoFront } from './pareto.js';
import { distanceOf, type Predictions, type PredictOptions, predictAll, scoreOf } from './predict.js';
import type { ClassResults, Count, ReportRow, Task, TensorResult } from './types.js';

/** A variant and where its row belongs. */
export type RowVariant = Variant & Pick<ReportRow, 'kind' | 'isMain'>;

/** NaN and infinities have no JSON. */
export const finite = (value: number): number | null => (Number.isFinite(value) ? value : null);

export interface RowOptions {
  readonly dataset: Dataset;
  readonly task: Task;
  readonly outputs: OutputKind;
  readonly predict: PredictOptions;
  readonly apply: VariantOptions;
}

/** A row before all rows are there. */
export type Unplaced = Omit<ReportRow, 'isPareto'>;

/** In the order of a report, whatever was measured first. */
const KINDS: readonly ReportRow['kind'][] = ['float', 'data-free', 'calibrated', 'mixed'];

/** All rows by their kind, each kind in the order given, with the Pareto front marked. */
export function placeRows(given: readonly Unplaced[]): ReportRow[] {
  const rows = [...given].sort((a, b) => KINDS.indexOf(a.kind) - KINDS.indexOf(b.kind));
  const placed = rows.map(({ bytes, classes, divergence }) => ({
    bytes,
    quality: classes ? classes.top1 : divergence === null ? Number.NaN : -divergence,
  }));
  const front = paretoFront(placed);
  return rows.map((row, i) => ({ ...row, isPareto: front[i] === true }));
}

/** Measures rows one by one, each against the float model. */
export class RowMeasure {
  /** The row of the float model. */
  readonly first: Unplaced;
  readonly #backend: Backend;
  readonly #model: QuantizableModel;
  readonly #float: Predictions;
  readonly #options: RowOptions;
  readonly #answers: ReturnType<typeof scoreOf> | undefined;
  readonly #confusion: readonly Count[] | undefined;
  readonly #labels: Int32Array;

  /** @param float predictions of the model itself */
  constructor(backend: Backend, model: QuantizableModel, float: Predictions, options: RowOptions) {
    this.#backend = backend;
    this.#model = model;
    this.#float = float;
    this.#options = options;
    const { task, dataset } = options;
    this.#labels = (dataset.labels ?? new Int32Array(0)).subarray(0, float.samples);
    if (task.kind === 'classifier') {
      this.#answers = scoreOf(float, this.#labels, task.outputs);
      this.#confusion = confusionOf({ labels: this.#labels, answers: this.#answers.answers });
    }
    this.first = {
      ...{ name: 'float32', kind: 'float', isMain: true, bytes: 4 * model.parameters, ratio: 1 },
      ...{ bitsPerWeight: 32, divergence: 0, tensors: [] },
      ...this.#classes(float),
      seconds: { quantize: 0, evaluate: float.seconds },
    };
  }

  /** Of the float model; undefined where there are no classes. */
  get confusion(): readonly Count[] | undefined {
    return this.#confusion;
  }

  /** Quantizes and evaluates. @returns the row, and remarks on the calibration */
  async measure({
    kind,
    isMain,
    ...variant
  }: RowVariant): Promise<{ row: Unplaced; notes: readonly string[] }> {
    const { dataset, predict, apply, outputs } = this.#options;
    const start = performance.now();
    const made = (await applyVariant(this.#backend, this.#model, variant, apply)) as AppliedVariant;
    const quantize = (performance.now() - start) / 1000;
    const predictions = await predictAll(this.#backend, made.model, dataset, predict);
    const row: Unplaced = {
      ...{ name: variant.name, kind, isMain, recipe: variant.recipe ?? {} },
      bytes: made.bytes,
      ratio: (4 * this.#model.parameters) / made.bytes,
      bitsPerWeight: made.report.bitsPerWeight,
      divergence: finite(distanceOf(this.#float, predictions, outputs)),
      ...this.#classes(predictions),
      tensors: tensorsOf(made),
      seconds: { quantize, evaluate: predictions.seconds },
    };
    return { row, notes: made.notes };
  }

  #classes(predictions: Predictions): { classes?: ClassResults } {
    const { task } = this.#options;
    if (task.kind !== 'classifier' || !this.#answers) return {};
    const labels = this.#labels;
    const { answers, top1, top5, loss } = scoreOf(predictions, labels, task.outputs);
    const confusion = confusionOf({ labels, answers });
    return {
      classes: {
        ...{ top1, ...(top5 === undefined ? {} : { top5 }), loss: finite(loss) },
        ...compareAnswers({ labels, answers: this.#answers.answers }, { labels, answers }),
        perClass: accuracyByClass(confusion, task.classNames.length),
        moved: movedCounts(this.#confusion ?? [], confusion),
      },
    };
  }
}

function tensorsOf({ report }: AppliedVariant): TensorResult[] {
  const fits = new Map((report.calibration ?? []).map((row) => [row.id, row]));
  return report.tensors.flatMap(({ id, result, bytesAfter, snrDb }): TensorResult[] => {
    if (result === 'kept') return [];
    const fit = report.keptDataFree
      ? { fallback: 'the data-free result was kept: calibration did no better on the samples given' }
      : fits.get(id);
    return [
      {
        ...{ id, scheme: result, bytes: bytesAfter, snrDb: finite(snrDb ?? Number.NaN) },
        ...(fit && 'error' in fit && fit.error !== undefined ? { error: finite(fit.error) } : {}),
        ...(fit?.fallback === undefined ? {} : { fallback: fit.fallback }),
      },
    ];
  });
}
