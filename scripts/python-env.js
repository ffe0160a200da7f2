#!/usr/bin/env node
// @ts-check
// Makes the Python environment that some tests compare against: TensorFlow with Keras, h5py and NumPy, in
// ~/.cache/bitnibble/venv (or $BITNIBBLE_CACHE/venv). An environment that already has the right versions is kept.
// Nothing of this is needed to use bitnibble.
//
//   node scripts/python-env.js
import { venvDir } from './lib/project.js';
import { makePythonEnv } from './lib/python-env.js';

// The CPU build is named otherwise where it is the only one.
const cpuWheel = (process.platform === 'linux' || process.platform === 'win32') && process.arch === 'x64';

await makePythonEnv({
  script: 'python-env',
  folder: venvDir,
  wanted: {
    [cpuWheel ? 'tensorflow-cpu' : 'tensorflow']: '2.21.0',
    keras: '3.15.1',
    h5py: '3.14.0',
    numpy: '2.4.6',
  },
  modules: ['h5py', 'keras', 'numpy', 'tensorflow'],
  needs: 'TensorFlow 2.21 and NumPy 2.4',
});
