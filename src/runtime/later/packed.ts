export { openPacked } from '../../packed/read.js';
export { takeAny, wholeOf } from '../../packed/shards/whole.js';
export * as common from '../common.js';
