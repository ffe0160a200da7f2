// Cloudflare Workers: the network is loaded while the Worker starts, before the first request. Workers compile no
// WebAssembly from bytes, so the module is imported.
import runtime from 'bitnibble/runtime.wasm';
import { classifier } from './classifier.ts';
import file from './digits.safetensors';

export default { fetch: await classifier(new Uint8Array(file), { module: runtime }) };
