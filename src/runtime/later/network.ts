export { openNetwork } from '../../network/open.js';
export * as common from '../common.js';
