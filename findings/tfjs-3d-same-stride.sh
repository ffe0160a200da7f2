#!/usr/bin/env bash
# TensorFlow.js: strided operations over three axes look one voxel too far with padding "same"
#
# @tensorflow/tfjs 4.22.0, @tensorflow/tfjs-backend-wasm 4.22.0.
#
# Expected: pooling or a convolution of size 1 and stride 2 over 0 1 2 3 4 5 6 7 takes 0 2 4 6, as over two axes,
# as in TensorFlow, and as the shortcut of a 3D ResNet was trained.
#
# Seen: over three axes it takes 1 3 5 7, on both backends, without an error: the padding that "same" needs comes
# out negative, and is used.
#
# Way around: padding "valid" on an input that is padded by hand.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
with_npm @tensorflow/tfjs@4.22.0 @tensorflow/tfjs-backend-wasm@4.22.0
with on.js
cat > try.js <<'EOF'
import assert from 'node:assert/strict';
import * as tf from '@tensorflow/tfjs';
import { on } from './on.js';

const line = () => tf.range(0, 8).reshape([1, 8, 1, 1, 1]).tile([1, 1, 8, 8, 1]);
const plane = () => tf.range(0, 8).reshape([1, 8, 1, 1]).tile([1, 1, 8, 1]);
const first = (values, rank) => values.slice(new Array(rank).fill(0), [1, 4, ...new Array(rank - 2).fill(1)]);
const pool2d = () => first(tf.avgPool(plane(), 1, 2, 'same'), 4);
const pool3d = () => first(tf.avgPool3d(line(), 1, 2, 'same'), 5);
const conv3d = () => first(tf.conv3d(line(), tf.ones([1, 1, 1, 1, 1]), 2, 'same'), 5);
for (const backend of ['cpu', 'wasm']) {
  assert.deepEqual(await on(backend, pool2d), [0, 2, 4, 6]);
  assert.deepEqual(await on(backend, pool3d), [1, 3, 5, 7]);
  assert.deepEqual(await on(backend, conv3d), [1, 3, 5, 7]);
}
EOF
node try.js
