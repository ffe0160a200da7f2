#!/usr/bin/env node
// @ts-check
// Makes the Python environment of what `npm run bench:exports` measures beside bitnibble's own exports: tf2onnx, the quantizers of
// ONNX Runtime and of LiteRT, TensorFlow's converter to LiteRT, in ~/.cache/bitnibble/peers (or $BITNIBBLE_CACHE/peers). Nothing of
// this is needed to use or to test bitnibble.
//
//   node scripts/peers-env.js
import { peersDir } from './lib/project.js';
import { makePythonEnv } from './lib/python-env.js';

const cpuWheel = (process.platform === 'linux' || process.platform === 'win32') && process.arch === 'x64';

await makePythonEnv({
  script: 'peers-env',
  folder: peersDir,
  wanted: {
    [cpuWheel ? 'tensorflow-cpu' : 'tensorflow']: '2.21.0',
    keras: '3.15.1',
    numpy: '2.4.6',
    tf2onnx: '1.17.0',
    onnx: '1.23.2',
    // What ONNX Runtime's quantizer of 4 bits imports.
    'onnx-ir': '1.1.0',
    onnxruntime: '1.32.0',
    'ai-edge-litert': '2.3.0',
    'ai-edge-quantizer': '0.10.0',
  },
  modules: ['keras', 'numpy', 'onnx', 'onnxruntime', 'ai_edge_litert', 'ai_edge_quantizer', 'tf2onnx'],
  needs: 'TensorFlow 2.21 and tf2onnx 1.17',
});
