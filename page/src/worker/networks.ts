import { type Kernels, packedBytes } from 'bitnibble';
import type { KerasModel } from 'bitnibble/keras';
import type { Recipe } from 'bitnibble/pipeline';
import { quantizeModel } from '../../../src/pipeline/quantize.js';
import { foldBatchNorm } from '../../../src/pipeline/transform/fold.js';

/** A way to store the demo's network. */
export interface Column {
  readonly id: string;
  readonly title: string;
  /** What was done to its weights, and what was not. */
  readonly note: string;
  readonly recipe: Recipe;
  /** As `bitnibble quantize` does it where no scale serves a whole tensor. */
  readonly isFolded?: boolean;
}

export const COLUMNS: readonly Column[] = [
  {
    id: 'float32',
    title: 'float32',
    note: 'As Keras trained it: 32 bits a weight.',
    recipe: { rules: [{ layer: '*', keep: true }] },
  },
  {
    id: 'int4',
    title: '4 bits',
    note: 'Kernels rounded to 16 levels, one scale for each channel.',
    recipe: { default: { scheme: 'int4', granularity: 'channel' } },
    isFolded: true,
  },
  {
    id: 'int2',
    title: '2 bits',
    note: 'Kernels rounded to 4 levels, one scale for each channel.',
    recipe: { default: { scheme: 'int2', granularity: 'channel' } },
    isFolded: true,
  },
  {
    id: 'binary',
    title: '1 bit',
    note: 'Signs alone, one scale for each kernel: expect mistakes.',
    recipe: { default: { scheme: 'binary', granularity: 'tensor' } },
  },
];

/**
 * The packed file of a column. All that is run comes from here: a file made with more care than rounding (calibrated,
 * trained again) takes its place here, and its `note` says so.
 */
export async function packedFileOf(
  { recipe, isFolded = false }: Column,
  demo: KerasModel,
  kernels: Kernels,
): Promise<Uint8Array> {
  const source = isFolded ? foldBatchNorm(demo).source : demo;
  return packedBytes(quantizeModel(source, recipe, { kernels }).model);
}
