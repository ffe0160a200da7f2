// @ts-check
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { root, typescript } from './project.js';

const script = fileURLToPath(new URL('./test-process.js', import.meta.url));
/** How the process ends what one file has printed. */
const MARK = /\n\0(\d*)\n$/;

/** A process that runs one test file after the other: scripts/lib/test-process.js. */
export class SharedProcess {
  /** @type {import('node:child_process').ChildProcess | undefined} */
  #child;

  /** @param {number} timeout of one file, in milliseconds */
  constructor(timeout) {
    this.timeout = timeout;
  }

  /**
   * Runs a file, in a new process where there is none. A process that ends early, or late, is not used again.
   * @param {string} file @param {NodeJS.ProcessEnv} env
   * @returns {Promise<{ status: number, stdout: string, output: string }>}
   */
  run(file, env) {
    this.#child ??= spawn(process.execPath, ['--import', typescript, script], {
      cwd: root,
      env,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    const child = this.#child;
    return new Promise((resolve) => {
      const texts = { stdout: '', stderr: '' };
      const stop = () => child.kill('SIGKILL');
      const timer = setTimeout(stop, this.timeout);
      const done = (/** @type {number} */ status) => {
        clearTimeout(timer);
        child.removeAllListeners();
        child.stdout?.removeAllListeners('data');
        child.stderr?.removeAllListeners('data');
        const stdout = texts.stdout.replace(MARK, '');
        resolve({ status, stdout, output: stdout + texts.stderr.replace(MARK, '') });
      };
      for (const name of /** @type {const} */ (['stdout', 'stderr']))
        child[name]?.setEncoding('utf8').on('data', (/** @type {string} */ text) => {
          texts[name] += text;
          const end = MARK.exec(texts.stdout);
          if (end && MARK.test(texts.stderr)) done(Number(end[1]));
        });
      child.on('error', (error) => {
        texts.stderr += `${error.message}\n`;
        this.#child = undefined;
        done(127);
      });
      child.on('close', () => {
        this.#child = undefined;
        done(128);
      });
      child.send(file);
    });
  }

  /** Whatever a test file left open, or listens for. */
  close() {
    this.#child?.kill('SIGKILL');
    this.#child = undefined;
  }
}
