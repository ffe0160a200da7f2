import { Worker } from 'node:worker_threads';
import {
  type ComingSource,
  type LoadNetworkOptions,
  loadNetwork as loadSource,
  type RunnableNetwork,
  type Spawn,
} from '../runtime/index.js';

/** A thread that does not keep the process alive. One that does not start takes no part: the network runs without it. */
const spawn: Spawn = (workerData) => {
  const thread = new Worker(new URL('./runtime-thread.js', import.meta.url), { workerData });
  thread.on('error', () => undefined);
  thread.unref();
  return thread;
};

/**
 * Makes a network ready to run, from a file too: packed, or Keras's own `.h5` and `.keras`, by its content. The file is closed
 * again before the network is there.
 *
 *     const network = await loadNetwork('model.safetensors');
 *
 * @param source a path, a `file:` URL, or what `loadNetwork` of `bitnibble/runtime` takes everywhere
 * @throws BitnibbleError `not-found`, `unknown-format`, and what `loadNetwork` of `bitnibble/runtime` throws
 */
export async function loadNetwork(
  source: ComingSource | string | URL,
  given: LoadNetworkOptions = {},
): Promise<RunnableNetwork> {
  const options = { spawn, ...given };
  if (typeof source !== 'string' && !(source instanceof URL)) return loadSource(source, options);
  const [{ openModel }, { plainDecoder }, { fileURLToPath }] = await Promise.all([
    import('./models.js'),
    import('../runtime/decoder.js'),
    import('node:url'),
  ]);
  const { model, close } = await openModel(
    typeof source === 'string' ? source : fileURLToPath(source),
    plainDecoder,
  );
  try {
    return await loadSource(model, options);
  } finally {
    close();
  }
}
