// Takes the place of the WebAssembly that bitnibble carries as bytes, which Workers refuse to compile: wrangler.toml.
export function kernelBytes(): never {
  throw new Error('expected the module bitnibble/runtime.wasm, which worker.ts hands over');
}
