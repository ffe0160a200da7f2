import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

/** What is used of miniflare, which is not among the packages of this project. */
interface Miniflare {
  readonly ready: Promise<URL>;
  dispatchFetch(url: string, init?: RequestInit): Promise<Response>;
  dispose(): Promise<void>;
}
type MiniflareModule = { Miniflare: new (options: object) => Miniflare };

export interface Worker {
  /** Of workerd. */
  readonly version: string;
  /** Settles when it listens, its modules evaluated. */
  readonly ready: Promise<unknown>;
  fetch(url: string, init?: RequestInit): Promise<Response>;
  stop(): Promise<void>;
}

/**
 * Starts a Worker of ES modules.
 *
 * @param miniflare its package's folder
 * @param main entry below `folder`
 * @param wasm WebAssembly modules: what is imported, and its file below `folder`
 * @param data likewise, of modules that are an `ArrayBuffer`
 */
export async function startWorker(
  miniflare: string,
  folder: string,
  main: string,
  wasm: Readonly<Record<string, string>>,
  data: Readonly<Record<string, string>> = {},
): Promise<Worker> {
  const require = createRequire(path.join(miniflare, 'package.json'));
  const { Miniflare } = (await import(pathToFileURL(require.resolve('miniflare')).href)) as MiniflareModule;
  const { version } = require('workerd/package.json') as { version: string };
  const contents = (file: string) => readFileSync(path.join(folder, file));
  const modules = (type: string, files: Readonly<Record<string, string>>) =>
    Object.entries(files).map(([name, file]) => ({ type, path: name, contents: contents(file) }));
  const worker = new Miniflare({
    modules: [
      { type: 'ESModule', path: main, contents: contents(main).toString() },
      ...modules('CompiledWasm', wasm),
      ...modules('Data', data),
    ],
    host: '127.0.0.1',
    compatibilityDate: '2026-01-01',
  });
  return {
    version,
    ready: worker.ready,
    fetch: (url, init) => worker.dispatchFetch(url, init),
    stop: () => worker.dispose(),
  };
}
