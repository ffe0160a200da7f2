#!/usr/bin/env bash
# TensorFlow.js: layers models load options that they then ignore
#
# @tensorflow/tfjs 4.22.0.
#
# Expected: a layer that cannot do what its configuration asks for refuses it. Keras writes `groups` into every
# convolution and `dilation_rate` into every depthwise one, and loadLayersModel takes both.
#
# Seen: Conv2D with groups 2 is a full convolution (its kernel has both input channels, so a model without weights
# runs and one with weights is refused for their shape), and DepthwiseConv2D with a dilation of 2 runs undilated:
# kernel shapes agree, so its weights load and its outputs are of another size, or, with padding "same", merely
# wrong.
#
# Way around: a registered layer class that calls tf.depthwiseConv2d with its dilations, or one convolution for
# each group.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
with_npm @tensorflow/tfjs@4.22.0
cat > try.js <<'EOF'
import assert from 'node:assert/strict';
import * as tf from '@tensorflow/tfjs';

await tf.setBackend('cpu');
const same = { padding: 'same', useBias: false, inputShape: [7, 7, 1] };
const depthwise = (dilationRate) =>
  tf.sequential({
    layers: [tf.layers.depthwiseConv2d({ ...same, kernelSize: 3, dilationRate, depthwiseInitializer: 'ones' })],
  });
const image = tf.range(0, 49).reshape([1, 7, 7, 1]);
const [plain, dilated] = [1, 2].map((rate) => Array.from(depthwise(rate).predict(image).dataSync()));
const wanted = Array.from(tf.depthwiseConv2d(image, tf.ones([3, 3, 1, 1]), 1, 'same', 'NHWC', 2).dataSync());
console.log('dilated operation', wanted.slice(0, 7).join(' '));
console.log('dilated layer    ', dilated.slice(0, 7).join(' '));
assert.deepEqual(dilated, plain);
assert.notDeepEqual(dilated, wanted);

const config = { filters: 4, kernelSize: 1, groups: 2, inputShape: [1, 1, 2] };
const [kernel] = tf.sequential({ layers: [tf.layers.conv2d(config)] }).weights;
console.log('kernel of a convolution of 2 channels in 2 groups', kernel.shape.join(' x '));
assert.deepEqual(kernel.shape, [1, 1, 2, 4]); // of a grouped one: 1 x 1 x 1 x 4
EOF
node try.js
