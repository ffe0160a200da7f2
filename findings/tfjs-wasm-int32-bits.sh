#!/usr/bin/env bash
# TensorFlow.js: two wasm kernels read integers by the wrong type
#
# @tensorflow/tfjs 4.22.0, @tensorflow/tfjs-backend-wasm 4.22.0.
#
# Expected: clipByValue of int32 [-5, -1, 7] between -3 and 6 is -3 -1 6, and a cast to bool is false for zero
# alone.
#
# Seen: clipByValue compares the bits as float32 and gives -1069547520 -1069547520 7. The cast keeps the lowest
# byte: 256 becomes 0 (false), as a mask made by casting counts or ids may have; a float 0.5 becomes 0 and -2
# becomes 254.
#
# Way around: clip in float32 and cast back; compare with zero (notEqual) in place of a cast to bool.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
with_npm @tensorflow/tfjs@4.22.0 @tensorflow/tfjs-backend-wasm@4.22.0
with on.js
cat > try.js <<'EOF'
import assert from 'node:assert/strict';
import * as tf from '@tensorflow/tfjs';
import { on } from './on.js';

const clip = () => tf.clipByValue(tf.tensor1d([-5, -1, 7], 'int32'), -3, 6);
const whole = () => tf.cast(tf.tensor1d([256, 1, 0], 'int32'), 'bool');
const real = () => tf.cast(tf.tensor1d([0.5, 1, 0, -2]), 'bool');
assert.deepEqual(await on('cpu', clip), [-3, -1, 6]);
assert.deepEqual(await on('wasm', clip), [-1069547520, -1069547520, 7]);
assert.deepEqual(await on('cpu', whole), [1, 1, 0]);
assert.deepEqual(await on('wasm', whole), [0, 1, 0]);
assert.deepEqual(await on('cpu', real), [1, 1, 0, 1]);
assert.deepEqual(await on('wasm', real), [0, 1, 0, 254]);
EOF
node try.js
