import { type Kernels, packedBytes } from 'bitnibble';
import type { KerasModel } from 'bitnibble/keras';
import { quantizeModel, type Recipe } from 'bitnibble/pipeline';

/** A way to store the demo's network. */
export interface Column {
  readonly id: string;
  readonly title: string;
  /** What was done to its weights, and what was not. */
  readonly note: string;
  readonly recipe: Recipe;
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
    note: 'Kernels rounded to 4 bits, one scale for each channel. Not calibrated, not trained again.',
    recipe: { default: { scheme: 'int4', granularity: 'channel' } },
  },
  {
    id: 'binary',
    title: '1 bit',
    note: 'Signs alone, one scale for each kernel. Not calibrated: expect mistakes.',
    recipe: { default: { scheme: 'binary', granularity: 'tensor' } },
  },
];

/**
 * The packed file of a column. All that is run comes from here: a file made with more care than rounding (calibrated,
 * trained again) takes its place here, and its `note` says so.
 */
export async function packedFileOf(column: Column, demo: KerasModel, kernels: Kernels): Promise<Uint8Array> {
  return packedBytes(quantizeModel(demo, column.recipe, { kernels }).model);
}
