// Cloudflare Workers: everything is opened while the Worker starts, before the first request.
import tfjs from '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-simd.wasm';
import { loadDecoder } from 'bitnibble/reader';
import reader from 'bitnibble/reader.wasm';
import { classifier } from './classifier.ts';
import file from './digits.safetensors';

const answer = await classifier(new Uint8Array(file), await loadDecoder({ module: reader }), tfjs);

export default { fetch: answer };
