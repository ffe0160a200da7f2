// bun run bun.ts [PORT]
import { loadDecoder } from 'bitnibble/reader';
import { classifier } from './classifier.ts';

const tfjs = import.meta.resolve('@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-simd.wasm');
const read = (url: string) => Bun.file(new URL(url, import.meta.url)).bytes();
const module = await WebAssembly.compile(await read(tfjs));
const answer = await classifier(await read('digits.safetensors'), await loadDecoder(), module);

Bun.serve({ hostname: '127.0.0.1', port: Number(Bun.argv[2] ?? 8000), fetch: answer });
