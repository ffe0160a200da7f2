#!/usr/bin/env node
// @ts-check
// Makes the Python environment that some tests compare against: TensorFlow with Keras, h5py and NumPy, in
// ~/.cache/bitnibble/venv (or $BITNIBBLE_CACHE/venv). An environment that already has the right versions is kept.
// Nothing of this is needed to use bitnibble.
//
//   node scripts/python-env.js
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { cacheDir, fail, pythonOf, run, timed, venvDir } from './lib/project.js';

// The CPU build is named otherwise where it is the only one.
const cpuWheel = (process.platform === 'linux' || process.platform === 'win32') && process.arch === 'x64';
const wanted = {
  [cpuWheel ? 'tensorflow-cpu' : 'tensorflow']: '2.21.0',
  keras: '3.15.1',
  h5py: '3.14.0',
  numpy: '2.4.6',
};
const requirements = Object.entries(wanted).map(([name, version]) => `${name}==${version}`);
const python = pythonOf(venvDir);
const stamp = path.join(venvDir, '.bitnibble-requirements');
const quiet = {
  ...process.env,
  TF_CPP_MIN_LOG_LEVEL: '3',
  CUDA_VISIBLE_DEVICES: '-1',
  PIP_DISABLE_PIP_VERSION_CHECK: '1',
};

async function matches() {
  const code = `
import sys
from importlib.metadata import version
for item in sys.argv[1:]:
    name, want = item.split('==')
    assert version(name) == want, (name, version(name))
import h5py, keras, numpy, tensorflow`;
  return (await run(python, ['-c', code, ...requirements], { env: quiet })).status === 0;
}

async function create() {
  const base = process.platform === 'win32' ? 'python' : 'python3';
  const version = await run(base, ['-c', 'import sys; print("%d.%d" % sys.version_info[:2])']);
  if (version.status !== 0) fail(`python-env: ${base} is not there. Install Python 3.11 to 3.13.`);
  const [major = 0, minor = 0] = version.stdout.split('.').map(Number);
  if (major !== 3 || minor < 11 || minor > 13) {
    fail(
      `python-env: TensorFlow 2.21 and NumPy 2.4 need Python 3.11 to 3.13, ${base} is ${version.stdout.trim()}`,
    );
  }
  mkdirSync(cacheDir, { recursive: true });
  const made = await timed(`python-env: creating ${venvDir}`, () => run(base, ['-m', 'venv', venvDir]));
  if (made.status !== 0) {
    fail(
      'python-env: the environment could not be created (on Debian and Ubuntu: apt-get install python3-venv)',
      made.output,
    );
  }
}

if (existsSync(stamp) && existsSync(python) && readFileSync(stamp, 'utf8') === requirements.join('\n')) {
  process.stdout.write(`python-env: ${venvDir} is up to date\n`);
} else {
  if (!existsSync(python)) await create();
  if (!(await matches())) {
    const pip = ['-m', 'pip', 'install', '--quiet', ...requirements];
    const result = await timed(`python-env: installing ${requirements.join(' ')}`, () =>
      run(python, pip, { env: quiet }),
    );
    if (result.status !== 0) fail('python-env: pip failed', result.output);
    if (!(await matches())) fail('python-env: the packages are installed and do not import');
  }
  writeFileSync(stamp, requirements.join('\n'));
  process.stdout.write(`python-env: ${venvDir} is ready\n`);
}
