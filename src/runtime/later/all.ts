export * as common from '../common.js';
export { ALL_ROWS } from '../rows-all.js';
