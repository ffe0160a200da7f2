import type {} from '../tensorflow.js';

/** TensorFlow.js as a value: whichever of its packages the caller loaded. bitnibble never imports it by itself. */
export type TensorFlow = typeof import('@tensorflow/tfjs');

declare module '../tensorflow.js' {
  interface TensorFlowTypes {
    readonly module: TensorFlow;
  }
}
