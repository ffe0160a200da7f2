import { copyFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { bundleHosts } from './bundle.js';
import { packedDigits, testDigits } from './digits.js';

/** Digits that the page knows. */
export const COUNT = 100;

/** A folder with the page, and what its backends fetch. */
export async function pageFolder(): Promise<string> {
  const folder = await bundleHosts(['tfjs.ts']);
  const html =
    '<!doctype html><meta charset="utf-8"><title>Test</title><script type="module" src="tfjs.js"></script>';
  writeFileSync(path.join(folder, 'tfjs.html'), html);
  const wasm = createRequire(import.meta.url).resolve(
    '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm.wasm',
  );
  for (const kind of ['', '-simd', '-threaded-simd']) {
    const file = `tfjs-backend-wasm${kind}.wasm`;
    copyFileSync(path.join(path.dirname(wasm), file), path.join(folder, file));
  }
  writeFileSync(path.join(folder, 'digits.safetensors'), await packedDigits());
  writeFileSync(path.join(folder, 'digits.bin'), testDigits(COUNT).pixels);
  return folder;
}
