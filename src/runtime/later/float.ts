export * as common from '../common.js';
export { FLOAT_ROWS } from '../rows-float.js';
