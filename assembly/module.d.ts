/** A module of bitnibble as hosts import it that compile `.wasm` files themselves, such as Workers. */
declare const module: WebAssembly.Module;
export default module;
