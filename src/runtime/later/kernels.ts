export { kernelBytes } from '../../kernels/embedded-runtime.js';
export * as common from '../common.js';
