export { readRanges } from '../../packed/ranges.js';
export * as common from '../common.js';
