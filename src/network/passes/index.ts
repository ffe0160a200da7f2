/** Functions from networks to networks, and what they find out about them. */
export {
  type FoldedNetwork,
  type FoldedNorm,
  findNormFolds,
  foldedBias,
  foldedRows,
  foldNorms,
  type LeftLayer,
  type NormFold,
} from './fold-norms.js';
export { dropIdentities } from './identities.js';
export {
  inputChannel,
  type Kernel,
  type KernelScale,
  outputChannel,
  readChanged,
  scaleKernel,
  type WeightChanges,
  type Weights,
} from './kernel.js';
export { findPairs, type Pair } from './pairs.js';
