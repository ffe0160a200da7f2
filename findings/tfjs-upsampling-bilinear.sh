#!/usr/bin/env bash
# TensorFlow.js: bilinear UpSampling2D samples at other places than Keras
#
# @tensorflow/tfjs 4.22.0.
#
# Expected: the layer does what Keras's does with the same configuration: 0 1 2 3 doubled is 0 0.25 0.75 1.25 1.75
# 2.25 2.75 3 (half-pixel centres).
#
# Seen: 0 0.5 1 1.5 2 2.5 3 3: corners are aligned on the left, and everything is shifted by a quarter of a pixel.
# The operation below it knows half-pixel centres (the last argument of tf.image.resizeBilinear), the layer does
# not use it.
#
# Way around: a registered layer that calls tf.image.resizeBilinear(x, size, false, true).
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
with_npm @tensorflow/tfjs@4.22.0
cat > try.js <<'EOF'
import assert from 'node:assert/strict';
import * as tf from '@tensorflow/tfjs';

await tf.setBackend('cpu');
const options = { size: [1, 2], interpolation: 'bilinear', inputShape: [1, 4, 1] };
const line = tf.range(0, 4).reshape([1, 1, 4, 1]);
const layer = Array.from(tf.sequential({ layers: [tf.layers.upSampling2d(options)] }).predict(line).dataSync());
const operation = Array.from(tf.image.resizeBilinear(line, [1, 8], false, true).dataSync());
console.log('layer    ', layer.join(' '));
console.log('operation', operation.join(' '));
assert.deepEqual(layer, [0, 0.5, 1, 1.5, 2, 2.5, 3, 3]);
assert.deepEqual(operation, [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]);
EOF
node try.js
