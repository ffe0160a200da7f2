#!/usr/bin/env bash
# TensorFlow.js: on the wasm backend some strided convolutions give the bias alone
#
# @tensorflow/tfjs 4.22.0, @tensorflow/tfjs-backend-wasm 4.22.0.
#
# Expected: a convolution with padding "same", kernel 3 and stride 4 over 12 x 12 ones sums nine of them at every
# position, on every backend.
#
# Seen: the wasm backend gives zeros, and so a layer gives its bias; no error. It happens where (ceil(in / stride)
# - 1) * stride + kernel < in, which needs a kernel that is shorter than its stride. Kernels of 1 x 1 are right,
# and so is an input of 13 x 13. Depthwise convolutions do the same.
#
# Way around: pad by hand and convolve with padding "valid".
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
with_npm @tensorflow/tfjs@4.22.0 @tensorflow/tfjs-backend-wasm@4.22.0
with on.js
cat > try.js <<'EOF'
import assert from 'node:assert/strict';
import * as tf from '@tensorflow/tfjs';
import { on } from './on.js';

const convolve = (size) => () => tf.conv2d(tf.ones([1, size, size, 1]), tf.ones([3, 3, 1, 1]), 4, 'same');
const nines = new Array(9).fill(9);
assert.deepEqual(await on('cpu', convolve(12)), nines);
assert.deepEqual(await on('wasm', convolve(12)), new Array(9).fill(0));
assert.deepEqual(await on('cpu', convolve(13)), await on('wasm', convolve(13)));
EOF
node try.js
