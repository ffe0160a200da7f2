import { kernelBytes } from './embedded-reader.js';
import { exportsOf, type KernelModule } from './instance.js';
import type { Decoder } from './types.js';
import { makeArena, type ReaderAbi } from './wasm-arena.js';
import { wasmDecoder } from './wasm-decode.js';

/** Where the decoder comes from. */
export interface LoadDecoderOptions {
  /**
   * `bitnibble/reader.wasm` or `bitnibble/kernels.wasm` made elsewhere, for hosts that refuse to compile bytes (Workers)
   * or import `.wasm` files themselves: a `WebAssembly.Module`, a `WebAssembly.Instance`, or its exports.
   */
  readonly module?: KernelModule;
}

/**
 * Loads what decodes packed files, a third of the kernels: the embedded module by default.
 *
 * @throws BitnibbleError `no-simd` where the host has no WebAssembly SIMD, `no-compile` where it refuses to compile
 *   bytes, `bad-module` for a module that is not bitnibble's
 * @throws TypeError for a `module` of another kind
 */
export async function loadDecoder({ module }: LoadDecoderOptions = {}): Promise<Decoder> {
  const abi = await exportsOf<ReaderAbi>(module, async () => kernelBytes(), 'reader.wasm');
  return wasmDecoder(makeArena(abi));
}
