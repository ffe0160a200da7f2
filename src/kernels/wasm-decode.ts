import { layoutSize } from '../shape.js';
import { checkCodes, checkLayout, checkSink } from './check.js';
import type { Decoder } from './types.js';
import type { Arena, ReaderAbi } from './wasm-arena.js';
import { code } from './wasm-code.js';

/** The half of the SIMD backend that reads: what `build/reader.wasm` has kernels for. */
export function wasmDecoder(arena: Arena<ReaderAbi>): Decoder {
  const { abi } = arena;
  const decoder: Decoder = {
    backend: 'simd',

    unpackSign(codes, scales, layout) {
      checkLayout(layout);
      return decoder.unpackSignInto(codes, scales, layout, new Float32Array(layoutSize(layout)));
    },

    unpackSignInto(codes, scales, layout, out) {
      checkCodes(codes, 1, scales, layout);
      checkSink('out', out, layoutSize(layout));
      const source = { array: codes, bits: 1 } as const;
      code(
        arena,
        layout,
        scales,
        source,
        { array: out, bits: 32 },
        abi.unpackSignColumns,
        abi.unpackSignRuns,
      );
      return out;
    },

    unpackInt4(codes, scales, layout) {
      checkLayout(layout);
      return decoder.unpackInt4Into(codes, scales, layout, new Float32Array(layoutSize(layout)));
    },

    unpackInt4Into(codes, scales, layout, out) {
      checkCodes(codes, 4, scales, layout);
      checkSink('out', out, layoutSize(layout));
      const source = { array: codes, bits: 4 } as const;
      code(
        arena,
        layout,
        scales,
        source,
        { array: out, bits: 32 },
        abi.unpackInt4Columns,
        abi.unpackInt4Runs,
      );
      return out;
    },

    unpackInt2(codes, scales, layout) {
      checkLayout(layout);
      return decoder.unpackInt2Into(codes, scales, layout, new Float32Array(layoutSize(layout)));
    },

    unpackInt2Into(codes, scales, layout, out) {
      checkCodes(codes, 2, scales, layout);
      checkSink('out', out, layoutSize(layout));
      const source = { array: codes, bits: 2 } as const;
      code(
        arena,
        layout,
        scales,
        source,
        { array: out, bits: 32 },
        abi.unpackInt2Columns,
        abi.unpackInt2Runs,
      );
      return out;
    },
  };
  return decoder;
}
