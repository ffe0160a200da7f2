import { type BlockLayout, layoutSize } from '../shape.js';
import { checkCodes, checkLayout, checkSink } from './check.js';
import type { Decoder, FloatSink } from './types.js';
import type { Arena, Kernel, ReaderAbi } from './wasm-arena.js';
import { code } from './wasm-code.js';

/** The two forms of one unpacking: into new memory and into the caller's. */
function unpacking(arena: Arena<ReaderAbi>, bits: 1 | 2 | 4, columns: Kernel, runs: Kernel) {
  const into = <T extends FloatSink>(
    codes: Uint8Array,
    scales: Float32Array,
    layout: BlockLayout,
    out: T,
  ): T => {
    checkCodes(codes, bits, scales, layout);
    checkSink('out', out, layoutSize(layout));
    code(arena, layout, scales, { array: codes, bits }, { array: out, bits: 32 }, columns, runs);
    return out;
  };
  const unpack = (codes: Uint8Array, scales: Float32Array, layout: BlockLayout): Float32Array => {
    checkLayout(layout);
    return into(codes, scales, layout, new Float32Array(layoutSize(layout)));
  };
  return { into, unpack };
}

/** The half of the SIMD backend that reads: what `build/reader.wasm` has kernels for. */
export function wasmDecoder(arena: Arena<ReaderAbi>): Decoder {
  const { abi } = arena;
  const sign = unpacking(arena, 1, abi.unpackSignColumns, abi.unpackSignRuns);
  const int2 = unpacking(arena, 2, abi.unpackInt2Columns, abi.unpackInt2Runs);
  const int4 = unpacking(arena, 4, abi.unpackInt4Columns, abi.unpackInt4Runs);
  return {
    backend: 'simd',
    unpackSign: sign.unpack,
    unpackSignInto: sign.into,
    unpackInt2: int2.unpack,
    unpackInt2Into: int2.into,
    unpackInt4: int4.unpack,
    unpackInt4Into: int4.into,
  };
}
