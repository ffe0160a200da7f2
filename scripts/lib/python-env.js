// @ts-check
// Makes a Python environment with packages of fixed versions in a folder of the cache, or keeps the one that is there.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fail, pythonOf, run, timed } from './project.js';

/**
 * @param {{
 *   script: string, folder: string, wanted: Record<string, string>, modules: string[], needs: string
 * }} environment `modules` are what has to import, `needs` what wants a certain Python
 */
export async function makePythonEnv({ script, folder, wanted, modules, needs }) {
  const requirements = Object.entries(wanted).map(([name, version]) => `${name}==${version}`);
  const python = pythonOf(folder);
  const stamp = path.join(folder, '.bitnibble-requirements');
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
import ${modules.join(', ')}`;
    return (await run(python, ['-c', code, ...requirements], { env: quiet })).status === 0;
  }

  async function create() {
    const base = process.platform === 'win32' ? 'python' : 'python3';
    const version = await run(base, ['-c', 'import sys; print("%d.%d" % sys.version_info[:2])']);
    if (version.status !== 0) fail(`${script}: ${base} is not there. Install Python 3.11 to 3.13.`);
    const [major = 0, minor = 0] = version.stdout.split('.').map(Number);
    if (major !== 3 || minor < 11 || minor > 13) {
      fail(`${script}: ${needs} need Python 3.11 to 3.13, ${base} is ${version.stdout.trim()}`);
    }
    mkdirSync(path.dirname(folder), { recursive: true });
    const made = await timed(`${script}: creating ${folder}`, () => run(base, ['-m', 'venv', folder]));
    if (made.status !== 0) {
      fail(
        `${script}: the environment could not be created (on Debian and Ubuntu: apt-get install python3-venv)`,
        made.output,
      );
    }
  }

  if (existsSync(stamp) && existsSync(python) && readFileSync(stamp, 'utf8') === requirements.join('\n')) {
    process.stdout.write(`${script}: ${folder} is up to date\n`);
    return;
  }
  if (!existsSync(python)) await create();
  if (!(await matches())) {
    const pip = ['-m', 'pip', 'install', '--quiet', ...requirements];
    const result = await timed(`${script}: installing ${requirements.join(' ')}`, () =>
      run(python, pip, { env: quiet }),
    );
    if (result.status !== 0) fail(`${script}: pip failed`, result.output);
    if (!(await matches())) fail(`${script}: the packages are installed and do not import`);
  }
  writeFileSync(stamp, requirements.join('\n'));
  process.stdout.write(`${script}: ${folder} is ready\n`);
}
