// deno run --allow-read --allow-env --allow-net deno.ts [PORT]
import '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import { loadDecoder } from 'bitnibble/reader';
import { classifier } from './classifier.ts';

await tf.setBackend('wasm');
const file = await Deno.readFile(new URL('digits.safetensors', import.meta.url));
const answer = classifier(file, await loadDecoder(), tf);

Deno.serve({ hostname: '127.0.0.1', port: Number(Deno.args[0] ?? 8000) }, answer);
