import type { WeightInfo } from '../../model.js';
import type { QuantizedTensor, QuantizeOptions } from '../../schemes/types.js';
import type { Layer } from '../../tfjs/run.js';
import type { Batches } from './activations.js';
import type { Augmentation } from './augment.js';
import type { CheckReport } from './check.js';
import type { Linear } from './linear.js';

export type Variable = Layer['weights'][number];

/** A layer to be fitted: its maps in order, or its table; and its variables in both networks. */
export interface LayerPlan {
  readonly linears: readonly Linear[];
  /** The table of an Embedding, which has no maps. */
  readonly table?: WeightInfo;
  readonly options: ReadonlyMap<string, QuantizeOptions>;
  readonly exact: ReadonlyMap<string, Variable>;
  readonly rounded: ReadonlyMap<string, Variable>;
}

/** What one call of a layer takes: each of its inputs. */
export type CallData = readonly Batches[];

/** A kernel fitted to data. */
export interface KernelFit {
  readonly tensor: QuantizedTensor;
  /** Share of the variance of the outputs that is lost. */
  readonly error: number;
  readonly inputs: number;
  readonly deadInputs: number;
  readonly positions: number;
}

/** A layer's new values; they are set in the quantized network as well. */
export interface LayerFit {
  readonly tensors: ReadonlyMap<string, KernelFit>;
  /** New values of biases, by id. */
  readonly biases: ReadonlyMap<string, Float32Array>;
}

/** What tuning did. */
export interface TuneReport {
  readonly steps: number;
  readonly augment: readonly Augmentation[];
  /** Codes that are other ones now. */
  readonly changedCodes: number;
  /** Mean divergence of the outputs from the float model's on samples that tuning did not see. */
  readonly divergence: { readonly before: number; readonly after: number };
  /** Samples tuned on, and samples that the divergence is of. */
  readonly tuned: number;
  readonly checked: number;
  /** Both on the samples of `TuneOptions.check`; `calibrated` is the model that was given. */
  readonly check?: CheckReport;
  /** Whether the model was left as it was since tuning made it no better. */
  readonly keptUntuned: boolean;
  readonly seconds: number;
}
