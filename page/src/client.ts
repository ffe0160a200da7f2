import { type Remote, wrap } from 'comlink';
import workerUrl from './worker/main.ts?worker&url';
import type { Api } from './worker/protocol.js';

export type Client = Remote<Api>;

/**
 * Starts the worker. It begins as a blob that imports the real module: so started, a worker inherits the page's
 * content security policy, which a module from the network does not, and the promise that nothing leaves the machine
 * is kept by the browser.
 *
 * @param onFailure called when the worker cannot start or dies outside of a request
 */
export function startWorker(onFailure: (message: string) => void): { client: Client; stop(): void } {
  const { href } = new URL(workerUrl, import.meta.url);
  const blob = new Blob([`import ${JSON.stringify(href)};`], { type: 'text/javascript' });
  const url = URL.createObjectURL(blob);
  const worker = new Worker(url, { type: 'module', name: 'bitnibble' });
  worker.addEventListener('error', (event) => onFailure(event.message || 'the worker could not be started'));
  return {
    client: wrap<Api>(worker),
    stop() {
      worker.terminate();
      URL.revokeObjectURL(url);
    },
  };
}
