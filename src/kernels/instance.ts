import { BitnibbleError, expected } from '../errors.js';

/** bitnibble's kernels made elsewhere. */
export type KernelModule = WebAssembly.Module | WebAssembly.Instance | object;

/** An empty function that makes a v128 constant: valid only where SIMD is. */
const SIMD_PROBE = Uint8Array.of(
  ...[0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0],
  ...[10, 9, 1, 7, 0, 65, 0, 253, 15, 26, 11],
);

/**
 * Exports of any of the things that hosts make of a `.wasm` file; of the embedded bytes where there is none.
 *
 * @throws BitnibbleError `no-simd`, `no-compile`, `bad-module`; TypeError for a `module` of another kind
 */
export async function exportsOf<A>(
  module: KernelModule | undefined,
  embedded: () => Promise<Uint8Array<ArrayBuffer>>,
  file: string,
): Promise<A> {
  if (module !== undefined && (typeof module !== 'object' || module === null)) {
    const what = 'a WebAssembly.Module or Instance, or its exports';
    throw new TypeError(expected('module', what, module === null ? 'null' : typeof module));
  }
  const made = module ?? (await compile(embedded, file));
  if (typeof WebAssembly === 'object') {
    if (made instanceof WebAssembly.Instance) return made.exports as unknown as A;
    if (made instanceof WebAssembly.Module) {
      try {
        return (await WebAssembly.instantiate(made)).exports as unknown as A;
      } catch (cause) {
        const message = '"module" expected the kernels of bitnibble, got one with imports';
        throw new BitnibbleError('bad-module', message, { cause });
      }
    }
  }
  return made as A;
}

/**
 * Compiles the embedded bytes of a module.
 *
 * @throws BitnibbleError `no-simd`, `no-compile`
 */
export async function compile(
  embedded: () => Promise<Uint8Array<ArrayBuffer>>,
  file: string,
): Promise<WebAssembly.Module> {
  if (typeof WebAssembly !== 'object' || !WebAssembly.validate(SIMD_PROBE)) {
    throw new BitnibbleError('no-simd', "this host has no WebAssembly SIMD: use backend: 'reference'");
  }
  const bytes = await embedded();
  try {
    return await WebAssembly.compile(bytes);
  } catch (cause) {
    const hint = `hand in bitnibble/${file} as "module", or allow 'wasm-unsafe-eval'`;
    const message = `this host does not compile WebAssembly from bytes: ${hint} (${(cause as Error).message})`;
    throw new BitnibbleError('no-compile', message, { cause });
  }
}
