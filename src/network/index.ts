/** The graph of a model, read once: see docs/DESIGN.md. */
export { type ArchitectureEdits, biasConfig, editArchitecture } from './edit.js';
export { isKeras1 } from './keras1.js';
export { modernWeights, ownWeights } from './old-weights.js';
export { type OpenNetwork, openNetwork, requireRunnable } from './open.js';
export { canonicalName, OPERATIONS, operationOf } from './operations/index.js';
export { checkCalls } from './order.js';
export * from './passes/index.js';
export { printNetwork } from './print.js';
export { readNetwork } from './read.js';
export { layerShapes } from './shapes.js';
export type * from './types.js';
