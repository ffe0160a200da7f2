import { LAYERS, MASKS } from './layers.js';
import type { Operation, Operations } from './operation.js';
import { SEQUENCES } from './sequences.js';
import { SPATIAL } from './spatial.js';
import { TENSORS } from './tensors.js';

/** Names that Keras gave a class before, or gives it as well. */
const SYNONYMS: ReadonlyMap<string, string> = new Map(
  Object.entries({
    BatchNormalizationV1: 'BatchNormalization',
    BatchNormalizationV2: 'BatchNormalization',
    SyncBatchNormalization: 'BatchNormalization',
    LSTMV2: 'LSTM',
    GRUV2: 'GRU',
    Convolution1D: 'Conv1D',
    Convolution2D: 'Conv2D',
    Convolution3D: 'Conv3D',
    Conv2DTransposeV2: 'Conv2DTranspose',
    Convolution1DTranspose: 'Conv1DTranspose',
    Convolution2DTranspose: 'Conv2DTranspose',
    Convolution3DTranspose: 'Conv3DTranspose',
    Deconvolution2D: 'Conv2DTranspose',
    Deconvolution3D: 'Conv3DTranspose',
    MaxPool1D: 'MaxPooling1D',
    MaxPool2D: 'MaxPooling2D',
    MaxPool3D: 'MaxPooling3D',
    AvgPool1D: 'AveragePooling1D',
    AvgPool2D: 'AveragePooling2D',
    AvgPool3D: 'AveragePooling3D',
    GlobalMaxPool1D: 'GlobalMaxPooling1D',
    GlobalMaxPool2D: 'GlobalMaxPooling2D',
    GlobalMaxPool3D: 'GlobalMaxPooling3D',
    GlobalAvgPool1D: 'GlobalAveragePooling1D',
    GlobalAvgPool2D: 'GlobalAveragePooling2D',
    GlobalAvgPool3D: 'GlobalAveragePooling3D',
    SeparableConvolution1D: 'SeparableConv1D',
    SeparableConvolution2D: 'SeparableConv2D',
    // The class; the name in keras.layers is the other.
    GroupedQueryAttention: 'GroupQueryAttention',
  }),
);

/** The one table of operations: layers by Keras 3's class names, operations on tensors as `ops.NAME`. */
export const OPERATIONS: Operations = { ...LAYERS, ...SPATIAL, ...SEQUENCES, ...TENSORS, ...MASKS };

/** Keras 3's name of a layer class. Classes of other packages, `qkeras>QDense`, keep theirs. */
export function canonicalName(className: string): string {
  const own = className.replace(/^(keras|builtins)>/, '');
  return SYNONYMS.get(own) ?? own;
}

/** The row of an operation; undefined where it is not known. */
export function operationOf(name: string): Operation | undefined {
  return Object.hasOwn(OPERATIONS, name) ? OPERATIONS[name] : undefined;
}
