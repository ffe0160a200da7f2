#!/usr/bin/env node
// @ts-check
// Makes the Python environment in which tests check and run exported models: ONNX, ONNX Runtime and LiteRT, in
// ~/.cache/bitnibble/export (or $BITNIBBLE_CACHE/export). It is one of its own, since those packages want other versions of
// common ones than TensorFlow does. Nothing of this is needed to use bitnibble.
//
//   node scripts/export-env.js
import { exportDir } from './lib/project.js';
import { makePythonEnv } from './lib/python-env.js';

await makePythonEnv({
  script: 'export-env',
  folder: exportDir,
  wanted: { onnx: '1.23.2', onnxruntime: '1.32.0', 'ai-edge-litert': '2.3.0', numpy: '2.4.6' },
  modules: ['numpy', 'onnx', 'onnxruntime', 'ai_edge_litert'],
  needs: 'ONNX 1.23, ONNX Runtime 1.32 and LiteRT 2.3',
});
