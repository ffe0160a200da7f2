// Networks of every kind of layer against what Keras made of them, in float and after int4: the fixtures of TensorFlow.js's tests.

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openNpz } from '../../src/formats/npz.js';
import { loadKernels } from '../../src/kernels/index.js';
import type { ModelSource } from '../../src/model.js';
import { openNetwork } from '../../src/network/index.js';
import { loadNetwork } from '../../src/runtime/index.js';
import type { NetworkArray } from '../../src/runtime/network.js';
import { folder, names, quantized } from '../tfjs/support.js';

const kernels = await loadKernels();

/** What the runtime refuses, by the layer that it names. */
const REFUSED: Readonly<Record<string, RegExp>> = {
  attention: /cannot run the layer multi_head_attention_1 \(MultiHeadAttention\): inputs: .*attention_mask/,
  channels_first: /cannot run the layer layer_normalization \(LayerNormalization\): axis: \[1,2\]/,
  channels_first_conv13: /conv3d \(Conv3D\): Conv3D is not among its operations/,
  conv2d: /cannot run the layer center_crop \(CenterCrop\)/,
  conv3d: /cannot run 8 layers: conv3d \(Conv3D\)/,
  conv_lstm: /conv_lstm2d \(ConvLSTM2D\)/,
  conv_lstm13: /conv_lstm1d \(ConvLSTM1D\)/,
  dense_activations: /activation_16 \(Activation\): activation hard_shrink; .*activation squareplus/,
  einsum: /cannot run the layer einsum_dense_3 \(EinsumDense\): equation: abc,bc->ab/,
  encoder_decoder: /cannot run the layer additive_attention \(AdditiveAttention\)/,
  graph_activation_functions: /celu \(keras\.ops\.Celu\): ops\.Celu is not among its operations/,
  graph_augmentations: /auto_contrast_?\d* \(AutoContrast\): AutoContrast is not among its operations/,
  graph_comparisons: /greater \(keras\.ops\.Greater\)/,
  graph_constants: /power \(keras\.ops\.Power\)/,
  graph_distributed_model: /time_distributed\/conv2d \(Conv2D\): Conv2D inside TimeDistributed/,
  graph_distributed_twice: /LSTM inside TimeDistributed/,
  graph_masks_joined: /concatenate_mask \(ConcatenateMasks\)/,
  graph_products: /matmul \(keras\.ops\.Matmul\)/,
  graph_reductions: /var \(keras\.ops\.Var\)/,
  graph_shapes: /swapaxes \(keras\.ops\.Swapaxes\)/,
  graph_short_kernels: /Conv2D inside TimeDistributed/,
  graph_short_windows: /cannot run 5 layers: conv3d \(Conv3D\)/,
  graph_siamese: /normalize \(keras\.ops\.Normalize\)/,
  graph_slices: /get_item \(keras\.ops\.GetItem\)/,
  k2_activation_functions: /tf\.math\.l2_normalize \(keras\.ops\.L2Normalize\)/,
  k2_distributed: /Conv2D inside TimeDistributed/,
  k2_functions: /tf\.__operators__\.getitem \(keras\.ops\.GetItem\)/,
  k2_masks: /concatenate_mask \(ConcatenateMasks\)/,
  k2_short_kernels: /Conv2D inside TimeDistributed/,
  k2_siamese: /dot \(Dot\): Dot is not among its operations/,
  keras1_volume: /convolution3d_1 \(Conv3D\)/,
  masked: /cannot run the layer global_average_pooling1d \(GlobalAveragePooling1D\): a mask/,
  merges: /dot \(Dot\): Dot is not among its operations/,
  normalizations: /group_normalization \(GroupNormalization\)/,
  wrappers: /time_distributed_1\/reshape \(Reshape\): Reshape inside TimeDistributed/,
};

/** Largest `|output - expected| / max(|expected|, a hundredth of the largest)` over all outputs. */
async function largestError(
  model: ModelSource,
  name: string,
  letter: 'y' | 'q',
  weights: 'packed' | 'decoded',
): Promise<number> {
  const file = openNpz(readFileSync(path.join(folder, `${name}.npz`)));
  const list = (key: string) =>
    Array.from({ length: file.names.filter((own) => own.startsWith(key)).length }, (_, i) =>
      file.read(`${key}${i}`),
    );
  const xs = list('x');
  const ports = openNetwork(model).network.inputs;
  const shapes = Object.fromEntries(ports.map((port, i) => [port.name, xs[i]?.shape.slice(1) as number[]]));
  const network = await loadNetwork(model, { shapes, weights });
  const inputs = Object.fromEntries(
    ports.map((port, i): [string, NetworkArray] => [
      port.name,
      Float32Array.from(xs[i]?.data as ArrayLike<number>, Number),
    ]),
  );
  const result = network.run(inputs);
  const outputs = result instanceof Float32Array ? [result] : Object.values(result);
  let worst = 0;
  list(letter).forEach(({ data }, i) => {
    const expected = Array.from(data as ArrayLike<number>, Number);
    const least = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-30) / 100;
    assert.is(outputs[i]?.length, expected.length);
    expected.forEach((value, j) => {
      const error = Math.abs((outputs[i]?.[j] as number) - value) / Math.max(Math.abs(value), least);
      if (!(error <= worst)) worst = error;
    });
  });
  network.dispose();
  return worst;
}

for (const name of names) {
  test(`${name}: what Keras computes, or a refusal by name`, async () => {
    const { float, packed } = await quantized(name, kernels);
    const refusal = REFUSED[name];
    if (refusal) {
      try {
        await largestError(float, name, 'y', 'decoded');
      } catch (error) {
        assert.is((error as { code?: string }).code, 'unsupported-layer');
        assert.match((error as Error).message, refusal);
        return;
      }
      assert.unreachable(`${name} is not refused any more: take it off the list`);
    }
    const errors = [
      await largestError(float, name, 'y', 'decoded'),
      await largestError(packed, name, 'q', 'decoded'),
      await largestError(packed, name, 'q', 'packed'),
    ] as const;
    assert.ok(errors[0] <= 1e-4, `float: ${errors[0]}`);
    // Activations of 14 bits: a value of a hundredth of the largest has a relative error of up to 3e-3.
    assert.ok(errors[1] <= 4e-3, `int4: ${errors[1]}`);
    assert.is(errors[2], errors[1]);
  });
}

test.run();
