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
  type Producer,
} from './fold-norms.js';
export { dropIdentities } from './identities.js';
export {
  type Channel,
  inputChannel,
  type Kernel,
  type KernelScale,
  outputChannel,
  readChanged,
  scaleKernel,
  type WeightChanges,
  type Weights,
} from './kernel.js';
export type { Norm } from './norm.js';
export { findPairs, type Pair } from './pairs.js';
