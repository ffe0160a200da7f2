/**
 * `bitnibble/runtime` in Node.js: the same, and `loadNetwork` takes paths.
 * @module
 */
export * from '../runtime/index.js';
export { loadNetwork } from './networks.js';
