#!/usr/bin/env bash
# TensorFlow.js: conv3dTranspose on the wasm backend gives other numbers than on the cpu backend
#
# @tensorflow/tfjs 4.22.0, @tensorflow/tfjs-backend-wasm 4.22.0.
#
# Expected: ones transposed through a 2 x 2 x 2 kernel of ones with stride 2 give ones everywhere.
#
# Seen: the wasm backend gives zeros at most positions, without an error.
#
# Way around: insert zeros between the inputs and use conv3d with the kernel turned over.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
with_npm @tensorflow/tfjs@4.22.0 @tensorflow/tfjs-backend-wasm@4.22.0
with on.js
cat > try.js <<'EOF'
import assert from 'node:assert/strict';
import * as tf from '@tensorflow/tfjs';
import { on } from './on.js';

const up = () => tf.conv3dTranspose(tf.ones([1, 2, 2, 2, 1]), tf.ones([2, 2, 2, 1, 1]), [1, 4, 4, 4, 1], 2, 'same');
assert.deepEqual(await on('cpu', up), new Array(64).fill(1));
const wasm = await on('wasm', up);
const zeros = wasm.filter((value) => value === 0).length;
console.log(`${zeros} of ${wasm.length} are zero`);
assert.ok(zeros > 32);
EOF
node try.js
