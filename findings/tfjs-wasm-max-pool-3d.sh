#!/usr/bin/env bash
# TensorFlow.js: maxPool3d of the wasm backend has the smallest positive float32 as its floor
#
# @tensorflow/tfjs 4.22.0, @tensorflow/tfjs-backend-wasm 4.22.0.
#
# Expected: the maximum of eight negative numbers is negative.
#
# Seen: 1.1754943508222875e-38 at every position on the wasm backend: the start of the maximum is the least
# positive number in place of the lowest one. Behind a ReLU nothing shows; behind a normalization or a plain
# convolution it does. maxPool over two axes is right.
#
# Way around: add a constant that makes all values positive, and take it off again; or pool over two axes, then
# over one.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
with_npm @tensorflow/tfjs@4.22.0 @tensorflow/tfjs-backend-wasm@4.22.0
with on.js
cat > try.js <<'EOF'
import assert from 'node:assert/strict';
import * as tf from '@tensorflow/tfjs';
import { on } from './on.js';

const negative = () => tf.neg(tf.range(1, 65));
const pool3d = () => tf.maxPool3d(negative().reshape([1, 4, 4, 4, 1]), 2, 2, 'valid');
const pool2d = () => tf.maxPool(negative().reshape([1, 8, 8, 1]), 2, 2, 'valid').slice([0, 0, 0, 0], [1, 1, 4, 1]);
assert.deepEqual(await on('cpu', pool3d), [-1, -3, -9, -11, -33, -35, -41, -43]);
assert.deepEqual(await on('wasm', pool3d), new Array(8).fill(2 ** -126));
assert.deepEqual(await on('wasm', pool2d), [-1, -3, -5, -7]);
EOF
node try.js
