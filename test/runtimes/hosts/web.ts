// What a page and a module worker run alike.
import { loadKernels } from '../../../src/index.js';
import { loadDecoder } from '../../../src/reader.js';
import { loadNetwork } from '../../../src/runtime/index.js';
import { type ClosedDoor, conformance, type Door, type Report } from '../suite/conformance.js';
import type { NetworkDoor } from '../suite/networks.js';

const compiled = (file: string) => WebAssembly.compileStreaming(fetch(new URL(file, import.meta.url)));

const doors: readonly Door[] = [
  { name: 'embedded', load: () => loadKernels() },
  { name: 'kernels.wasm', load: async () => loadKernels({ module: await compiled('kernels.wasm') }) },
  { name: 'reader', load: () => loadDecoder() },
  { name: 'reader.wasm', load: async () => loadDecoder({ module: await compiled('reader.wasm') }) },
];

const networks: readonly NetworkDoor[] = [
  { name: 'runtime', load: (source, options) => loadNetwork(source, options) },
  {
    name: 'runtime.wasm',
    load: async (source, options) =>
      loadNetwork(source, { ...options, module: await compiled('runtime.wasm') }),
  },
];

/** Without WebAssembly: the same bits, slowly. */
const slow: readonly NetworkDoor[] = [
  {
    name: 'runtime reference',
    load: (source, options) => loadNetwork(source, { ...options, backend: 'reference' }),
  },
];

const golden = () => fetch(new URL('golden.safetensors', location.href));

/** Where the policy of the page forbids to compile WebAssembly, nothing but the reference is left. */
const closed: readonly ClosedDoor[] = [
  {
    name: 'embedded',
    load: () => loadKernels(),
    code: 'no-compile',
    text: /allow 'wasm-unsafe-eval' .*Content Security Policy/,
  },
  { name: 'reader', load: () => loadDecoder(), code: 'no-compile', text: /reader\.wasm/ },
  {
    ...{ name: 'runtime', code: 'no-compile', text: /runtime\.wasm/ },
    load: async () => loadNetwork(await golden()),
  },
];

export function run(kind: string, noWasm: boolean): Promise<Report> {
  const isolation = crossOriginIsolated ? 'isolated' : 'not isolated';
  const url = new URL('golden.safetensors', location.href).href;
  return conformance(`${kind}, ${isolation}`, noWasm ? [] : doors, {
    ...{ url, closed: noWasm ? closed : [], networks: noWasm ? slow : networks },
  });
}
