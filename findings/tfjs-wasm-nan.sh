#!/usr/bin/env bash
# TensorFlow.js: on the wasm backend relu6, clipByValue and maximum hide NaN
#
# @tensorflow/tfjs 4.22.0, @tensorflow/tfjs-backend-wasm 4.22.0.
#
# Expected: NaN stays NaN in relu6, clipByValue and maximum, as on the cpu backend, in TensorFlow, and in the wasm
# backend's own relu.
#
# Seen: relu6 gives 0, clipByValue the lower bound, and maximum(1, NaN) is 1 while maximum(NaN, 1) is NaN. A
# network that has gone wrong therefore still gives finite probabilities, and a check of its outputs for NaN
# passes.
#
# Way around: look at the inputs of these operations, or use relu and minimum of finite values.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
with_npm @tensorflow/tfjs@4.22.0 @tensorflow/tfjs-backend-wasm@4.22.0
with on.js
cat > try.js <<'EOF'
import assert from 'node:assert/strict';
import * as tf from '@tensorflow/tfjs';
import { on } from './on.js';

const values = () => tf.tensor1d([NaN, -1, 7]);
const relu = () => tf.relu(values());
const relu6 = () => tf.relu6(values());
const clip = () => tf.clipByValue(values(), 1, 6);
const larger = () => tf.maximum(tf.tensor1d([NaN, 1]), tf.tensor1d([1, NaN]));
assert.deepEqual(await on('cpu', relu6), [NaN, 0, 6]);
assert.deepEqual(await on('wasm', relu), [NaN, 0, 7]);
assert.deepEqual(await on('wasm', relu6), [0, 0, 6]);
assert.deepEqual(await on('cpu', clip), [NaN, 1, 6]);
assert.deepEqual(await on('wasm', clip), [1, 1, 6]);
assert.deepEqual(await on('cpu', larger), [NaN, NaN]);
assert.deepEqual(await on('wasm', larger), [NaN, 1]);
EOF
node try.js
