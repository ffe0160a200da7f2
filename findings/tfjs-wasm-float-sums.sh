#!/usr/bin/env bash
# TensorFlow.js: the wasm backend adds float32 numbers one by one
#
# @tensorflow/tfjs 4.22.0, @tensorflow/tfjs-backend-wasm 4.22.0.
#
# Expected: the mean of three million values of 0.1 is 0.1 to six digits. Native backends add in blocks or pairs,
# and the cpu backend in JavaScript's float64.
#
# Seen: 0.0969 on the wasm backend, three percent off, since a float32 total grows until the next 0.1 no longer
# fits. The sum of 20 million ones stops at 2^24 = 16,777,216.
#
# Way around: reduce in two steps, over rows of about a thousand numbers.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
with_npm @tensorflow/tfjs@4.22.0 @tensorflow/tfjs-backend-wasm@4.22.0
with on.js
cat > try.js <<'EOF'
import assert from 'node:assert/strict';
import * as tf from '@tensorflow/tfjs';
import { on } from './on.js';

const mean = () => tf.mean(tf.fill([3_000_000], 0.1));
const ones = () => tf.sum(tf.ones([20_000_000]));
assert.ok(Math.abs((await on('cpu', mean))[0] - 0.1) < 1e-6);
assert.ok(Math.abs((await on('wasm', mean))[0] - 0.0969) < 1e-4);
assert.deepEqual(await on('cpu', ones), [20_000_000]);
assert.deepEqual(await on('wasm', ones), [2 ** 24]);
const inTwoSteps = () => tf.mean(tf.mean(tf.fill([3000, 1000], 0.1), 1));
assert.ok(Math.abs((await on('wasm', inTwoSteps))[0] - 0.1) < 1e-5);
EOF
node try.js
