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
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{ "private": true, "type": "module" }' > package.json
npm install --silent --no-audit --no-fund --ignore-scripts @tensorflow/tfjs@4.22.0 @tensorflow/tfjs-backend-wasm@4.22.0
cat > try.js <<'EOF'
import assert from 'node:assert/strict';
import * as tf from '@tensorflow/tfjs';
import '@tensorflow/tfjs-backend-wasm';

/** The values that one backend computes, as plain numbers. */
async function on(backend, compute) {
  await tf.setBackend(backend);
  await tf.ready();
  const values = tf.tidy(() => Array.from(compute().dataSync()));
  console.log(backend.padEnd(5), values.join(' '));
  return values;
}

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
