// The conformance suite in workerd: WebAssembly comes as modules, bytes are refused.
import kernels from 'bitnibble/kernels.wasm';
import reader from 'bitnibble/reader.wasm';
import runtime from 'bitnibble/runtime.wasm';
import { loadKernels } from '../../../src/index.js';
import { loadDecoder } from '../../../src/reader.js';
import { loadNetwork } from '../../../src/runtime/index.js';
import { conformance } from '../suite/conformance.js';
import type { NetworkDoor } from '../suite/networks.js';

export default {
  async fetch(request: Request): Promise<Response> {
    const url = new URL(request.url).searchParams.get('url') ?? '';
    const doors = [
      { name: 'module', load: () => loadKernels({ module: kernels }) },
      { name: 'reader module', load: () => loadDecoder({ module: reader }) },
      { name: 'reader of all kernels', load: () => loadDecoder({ module: kernels }) },
    ];
    const networks: NetworkDoor[] = [
      {
        name: 'runtime module',
        load: (source, options) => loadNetwork(source, { ...options, module: runtime }),
      },
    ];
    const hint = /hand in bitnibble\/\w+\.wasm as "module"/;
    const closed = [
      { name: 'embedded', load: () => loadKernels(), code: 'no-compile', text: hint },
      { name: 'reader', load: () => loadDecoder(), code: 'no-compile', text: hint },
      {
        ...{ name: 'runtime', code: 'no-compile', text: hint },
        load: async () => loadNetwork(await fetch(url)),
      },
    ];
    return Response.json(await conformance('workerd', doors, { url, closed, networks }));
  },
};
