// Cloudflare Workers: everything is opened while the Worker starts, before the first request.
import tfjs from '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-simd.wasm';
import { loadDecoder } from 'bitnibble/reader';
import reader from 'bitnibble/reader.wasm';
import { startBackend } from './backend.ts';
import { classifier } from './classifier.ts';
import file from './digits.safetensors';

const tf = await startBackend(tfjs);
const answer = classifier(new Uint8Array(file), await loadDecoder({ module: reader }), tf);

export default { fetch: answer };
