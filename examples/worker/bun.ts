// bun run bun.ts [PORT]
import '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import { loadDecoder } from 'bitnibble/reader';
import { classifier } from './classifier.ts';

await tf.setBackend('wasm');
const file = await Bun.file(new URL('digits.safetensors', import.meta.url)).bytes();
const answer = classifier(file, await loadDecoder(), tf);

Bun.serve({ hostname: '127.0.0.1', port: Number(Bun.argv[2] ?? 8000), fetch: answer });
