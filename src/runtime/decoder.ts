import type { Decoder, FloatSink } from '../kernels/types.js';
import { type BlockLayout, layoutSize } from '../shape.js';

type Codes = [codes: Uint8Array, scales: Float32Array, layout: BlockLayout];

/** Values of codes one by one: for the few weights that are not multiplied as integers. */
function unpack(bits: number, levelOf: (code: number) => number, [codes, scales, layout]: Codes) {
  const { outer, channels, inner, groupRows } = layout;
  const out = new Float32Array(layoutSize(layout));
  let e = 0;
  for (let o = 0; o < outer; o++)
    for (let c = 0; c < channels; c++)
      for (let i = 0; i < inner; i++, e++) {
        const at = e * bits;
        const code = ((codes[at >> 3] as number) >> (at & 7)) & ((1 << bits) - 1);
        const block = Math.floor((o * inner + i) / groupRows) * channels + c;
        out[e] = levelOf(code) * (scales[block] as number);
      }
  return out;
}

const unpackSign = (...codes: Codes) => unpack(1, (code) => 2 * code - 1, codes);
const unpackInt2 = (...codes: Codes) => unpack(2, (code) => ((code << 30) >> 30) + 0.5, codes);
const unpackInt4 = (...codes: Codes) => unpack(4, (code) => (code << 28) >> 28, codes);

const into =
  (decode: (...codes: Codes) => Float32Array) =>
  <T extends FloatSink>(codes: Uint8Array, scales: Float32Array, layout: BlockLayout, out: T): T => {
    out.set(decode(codes, scales, layout));
    return out;
  };

/** The bits of every other decoder, without a module of its own: products of a level and a scale are rounded once. */
export const plainDecoder: Decoder = {
  ...{ backend: 'reference', unpackSign, unpackInt2, unpackInt4 },
  ...{ unpackSignInto: into(unpackSign), unpackInt2Into: into(unpackInt2), unpackInt4Into: into(unpackInt4) },
};
