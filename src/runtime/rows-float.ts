import { activationOf } from './activations-more.js';
import { PRODUCTS } from './layers-float.js';
import { PLAIN_ROWS, type Rows } from './rows.js';

/** Of plain networks with weights in float32 too: kept ones, kernels for single channels. And of those with other activations. */
export const FLOAT_ROWS: Rows = {
  ...PLAIN_ROWS,
  builds: { ...PLAIN_ROWS.builds, ...PRODUCTS },
  activationOf,
};
