// deno run --allow-read --allow-env --allow-net deno.ts [PORT]
import { loadDecoder } from 'bitnibble/reader';
import { classifier } from './classifier.ts';

const tfjs = import.meta.resolve('@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-simd.wasm');
const read = (url: string) => Deno.readFile(new URL(url, import.meta.url));
const module = await WebAssembly.compile(await read(tfjs));
const answer = await classifier(await read('digits.safetensors'), await loadDecoder(), module);

Deno.serve({ hostname: '127.0.0.1', port: Number(Deno.args[0] ?? 8000) }, answer);
