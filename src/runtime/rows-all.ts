import { operationOf } from '../network/operations/index.js';
import { ATTENTION } from './layers-attention.js';
import { CONTRACTIONS } from './layers-contractions.js';
import { EMBEDDINGS } from './layers-embedding.js';
import { IMAGES } from './layers-images.js';
import { MASKS } from './layers-masks.js';
import { NORMALIZATIONS } from './layers-normalizations.js';
import { TENSOR_OPERATIONS } from './layers-operations.js';
import { REDUCTIONS } from './layers-reductions.js';
import { SEQUENCES } from './layers-sequences.js';
import { TRANSPOSED } from './layers-transposed.js';
import type { Rows } from './rows.js';
import { FLOAT_ROWS } from './rows-float.js';
import { overSteps } from './steps.js';
import { boundInputs, boundResults } from './whole.js';

/** All operations that the runtime computes. */
export const ALL_ROWS: Rows = {
  ...FLOAT_ROWS,
  builds: {
    ...FLOAT_ROWS.builds,
    ...EMBEDDINGS,
    ...IMAGES,
    ...NORMALIZATIONS,
    ...SEQUENCES,
    ...MASKS,
    ...ATTENTION,
    ...CONTRACTIONS,
    ...REDUCTIONS,
    ...TENSOR_OPERATIONS,
    ...TRANSPOSED,
  },
  overSteps,
  bounds: { inputs: boundInputs, results: boundResults },
  isIdentity: (operation) => operationOf(operation)?.isIdentity === true,
};
