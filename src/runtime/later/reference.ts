export * as common from '../common.js';
export { referenceKernels } from '../reference.js';
