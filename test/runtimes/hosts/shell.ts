// The conformance suite in Node.js, Deno and Bun: node shell.js URL FOLDER NAME prints the report as JSON.
import { readFile } from 'node:fs/promises';
import process from 'node:process';
import { pathToFileURL } from 'node:url';
import { loadKernels } from '../../../src/index.js';
import { loadDecoder } from '../../../src/reader.js';
import { loadNetwork } from '../../../src/runtime/index.js';
import { conformance, type Door } from '../suite/conformance.js';
import type { NetworkDoor } from '../suite/networks.js';

const [url = '', folder = '', name = ''] = process.argv.slice(2);
const compiled = async (file: string) => WebAssembly.compile(await readFile(`${folder}/${file}`));

const doors: Door[] = [
  { name: 'embedded', load: () => loadKernels() },
  { name: 'kernels.wasm', load: async () => loadKernels({ module: await compiled('kernels.wasm') }) },
  { name: 'reader', load: () => loadDecoder() },
  { name: 'reader.wasm', load: async () => loadDecoder({ module: await compiled('reader.wasm') }) },
];
const networks: NetworkDoor[] = [
  { name: 'runtime', load: (source, options) => loadNetwork(source, options) },
  {
    name: 'runtime.wasm',
    load: async (source, options) =>
      loadNetwork(source, { ...options, module: await compiled('runtime.wasm') }),
  },
];
if ('Deno' in globalThis) {
  // The only one of the three that makes an instance of an imported .wasm file.
  const imported = (file: string) => import(pathToFileURL(`${folder}/${file}`).href);
  doors.push({ name: 'import', load: async () => loadKernels({ module: await imported('kernels.wasm') }) });
  const load: NetworkDoor['load'] = async (source, options) =>
    loadNetwork(source, { ...options, module: await imported('runtime.wasm') });
  networks.push({ name: 'runtime import', load });
}
process.stdout.write(JSON.stringify(await conformance(name, doors, { url, networks })));
