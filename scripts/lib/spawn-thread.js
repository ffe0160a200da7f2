// @ts-check
// Threads of the runtime where they are run from TypeScript: a Worker does not import as its process does, so it is told how first.
import { Worker } from 'node:worker_threads';

const hooks = new URL('./typescript.js', import.meta.url).href;
const file = new URL('../../src/node/runtime-thread.ts', import.meta.url).href;

/** @param {unknown} workerData */
export function spawnThread(workerData) {
  const code = `import(${JSON.stringify(hooks)}).then(() => import(${JSON.stringify(file)}))`;
  const thread = new Worker(code, { eval: true, workerData });
  thread.unref();
  return thread;
}
