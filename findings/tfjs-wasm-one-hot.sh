#!/usr/bin/env bash
# TensorFlow.js: on the wasm backend a one-hot of float32 holds integers
#
# @tensorflow/tfjs 4.22.0, @tensorflow/tfjs-backend-wasm 4.22.0.
#
# Expected: oneHot([0, 1], 2, 0.75, 0.25, 'float32') is 0.75 0.25 0.25 0.75 on every backend.
#
# Seen: four zeros on the wasm backend, of dtype float32: both levels are cut to integers on the way. Soft labels
# (label smoothing) vanish so.
#
# Way around: a one-hot of 1 and 0, times the difference, plus the lower level.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
with_npm @tensorflow/tfjs@4.22.0 @tensorflow/tfjs-backend-wasm@4.22.0
with on.js
cat > try.js <<'EOF'
import assert from 'node:assert/strict';
import * as tf from '@tensorflow/tfjs';
import { on } from './on.js';

const soft = () => tf.oneHot(tf.tensor1d([0, 1], 'int32'), 2, 0.75, 0.25, 'float32');
assert.deepEqual(await on('cpu', soft), [0.75, 0.25, 0.25, 0.75]);
assert.deepEqual(await on('wasm', soft), [0, 0, 0, 0]);
assert.equal(soft().dtype, 'float32');
EOF
node try.js
