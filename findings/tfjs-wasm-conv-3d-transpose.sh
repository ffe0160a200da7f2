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

const up = () => tf.conv3dTranspose(tf.ones([1, 2, 2, 2, 1]), tf.ones([2, 2, 2, 1, 1]), [1, 4, 4, 4, 1], 2, 'same');
assert.deepEqual(await on('cpu', up), new Array(64).fill(1));
const wasm = await on('wasm', up);
const zeros = wasm.filter((value) => value === 0).length;
console.log(`${zeros} of ${wasm.length} are zero`);
assert.ok(zeros > 32);
EOF
node try.js
