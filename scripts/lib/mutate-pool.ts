// The processes that `npm run mutate` runs tests in.
import { type ChildProcess, fork } from 'node:child_process';
import path from 'node:path';
import type { Answer, Request } from './mutate-worker.js';
import { root } from './project.js';

type AnswerTo<K extends Request['kind']> = Extract<
  Answer,
  { readonly kind: K extends 'load' ? 'loaded' : K }
>;

const loader = new URL('./mutate-loader.js', import.meta.url).href;
const worker = new URL('./mutate-worker.ts', import.meta.url);
/** Megabytes; a mutant that asks for more ends its process. */
const MEMORY = 2048;

const running = new Set<ChildProcess>();
// One in an endless loop would not see that its parent is gone.
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** One process; `ask` resolves to undefined where it ended or took too long, and is of no use from then on. */
export class Runner {
  readonly #child: ChildProcess;
  #isOver = false;

  /**
   * @param mutants the folder of the files with mutants in them
   * @param withPython else tests that need it are skipped: each starts it for seconds, for every mutant that it comes by
   */
  constructor(mutants: string, withPython: boolean) {
    const python = withPython ? {} : { BITNIBBLE_PYTHON: path.join(mutants, 'no-python') };
    this.#child = fork(worker, {
      cwd: root,
      execArgv: ['--import', loader, `--max-old-space-size=${MEMORY}`],
      env: { ...process.env, CI: 'false', ...python, BITNIBBLE_MUTANTS: mutants, NO_COLOR: '1' },
      stdio: ['ignore', 'ignore', process.env.MUTATE_DEBUG ? 'inherit' : 'ignore', 'ipc'],
    });
    running.add(this.#child);
    this.#child.once('exit', () => {
      running.delete(this.#child);
      this.#isOver = true;
    });
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  ask<R extends Request>(request: R, milliseconds: number): Promise<AnswerTo<R['kind']> | undefined> {
    return new Promise((resolve) => {
      if (this.#isOver) return resolve(undefined);
      const done = (answer?: unknown) => {
        clearTimeout(timer);
        this.#child.off('exit', end).off('message', done);
        resolve(answer as AnswerTo<R['kind']> | undefined);
      };
      const end = () => done();
      const timer = setTimeout(() => {
        this.stop();
        done();
      }, milliseconds);
      this.#child.once('exit', end).once('message', done);
      this.#child.send(request, (error) => {
        if (error) done();
      });
    });
  }

  stop(): void {
    this.#isOver = true;
    this.#child.kill('SIGKILL');
  }
}

/** The path of a project's file as the sources name it, with slashes. */
export const nameOf = (file: string) => path.relative(root, path.resolve(root, file)).replaceAll('\\', '/');
