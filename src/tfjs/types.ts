// biome-ignore lint/suspicious/noTsIgnore: an error is expected only where the optional peer is missing
/** @ts-ignore TensorFlow.js is an optional peer: a strict program that checks libraries compiles without it */
import type * as tf from '@tensorflow/tfjs';
import type {} from '../tensorflow.js';

/** TensorFlow.js as a value: whichever of its packages the caller loaded. bitnibble never imports it by itself. */
export type TensorFlow = typeof tf;

// What other files use of its types: the package is named here alone, and where it is missing these are `any`.
export type LayersModel = tf.LayersModel;
export type NamedAttrMap = tf.NamedAttrMap;
export type NamedTensorInfoMap = tf.NamedTensorInfoMap;
export type Rank = tf.Rank;
export type Scalar = tf.Scalar;
export type Tensor<R extends tf.Rank = tf.Rank> = tf.Tensor<R>;
export type Tensor2D = tf.Tensor2D;
export type Tensor3D = tf.Tensor3D;
export type Tensor4D = tf.Tensor4D;
export type Tensor5D = tf.Tensor5D;
export type TensorInfo = tf.TensorInfo;
export type TypedArray = tf.TypedArray;
export type Variable = tf.Variable;
export type IOHandler = tf.io.IOHandler;
export type ModelArtifacts = tf.io.ModelArtifacts;

declare module '../tensorflow.js' {
  interface TensorFlowTypes {
    readonly module: TensorFlow;
  }
}
