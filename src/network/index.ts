/**
 * The architecture of any Keras as one flat network of nodes, read once; passes over it, and the way back.
 * @module bitnibble/network
 */
export { type ArchitectureEdits, biasConfig, editArchitecture } from './edit.js';
export { isKeras1 } from './keras1.js';
export { modernWeights, ownWeights } from './old-weights.js';
export { type OpenNetwork, openNetwork } from './open.js';
export type { Attribute, Fault, Origin } from './operations/attributes.js';
export { canonicalName, OPERATIONS, operationOf } from './operations/index.js';
export type { Application, Operation, Operations, WeightRole } from './operations/operation.js';
export { checkCalls } from './order.js';
export * from './passes/index.js';
export { readPlain } from './plain.js';
export { printNetwork } from './print.js';
export { readNetwork } from './read.js';
export { requireRunnable } from './runnable.js';
export { layerShapes } from './shapes.js';
export type * from './types.js';
