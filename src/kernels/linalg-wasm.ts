import { BitnibbleError, expected } from '../errors.js';
import { CHUNK_ROWS, type LinearAlgebra, type Operand, type Room } from './linalg-types.js';
import { ABI_VERSION, type Kernel } from './wasm-arena.js';

/** What `assembly/linalg.ts` exports. */
export interface LinearAbi {
  readonly memory: WebAssembly.Memory;
  bitnibbleAbi(): number;
  arenaBase(): number;
  readonly crossStrip: Kernel;
  readonly subtractProduct: Kernel;
  readonly subtractScaled: Kernel;
}

/** Bytes that `subtractProduct` packs its tiles into: 64 x 64 and 64 x 4 float64. */
const SCRATCH_BYTES = 64 * 64 * 8 + 64 * 4 * 8;

/** Columns of a strip. */
const STRIP = 8;

const aligned = (bytes: number) => (bytes + 15) & ~15;

/** Bytes behind the module's own, by hand: memory grows and is never given back. */
class Arena {
  readonly base: number;

  constructor(readonly abi: LinearAbi) {
    if (typeof abi.crossStrip !== 'function' || abi.bitnibbleAbi?.() !== ABI_VERSION) {
      throw new BitnibbleError('bad-module', '"module" expected linalg.wasm of this version of bitnibble');
    }
    this.base = aligned(abi.arenaBase());
  }

  /** @throws RangeError where the host has not that much memory */
  reserve(bytes: number): ArrayBuffer {
    const { memory } = this.abi;
    const missing = this.base + bytes - memory.buffer.byteLength;
    if (missing > 0) {
      try {
        memory.grow(Math.ceil(missing / 65536));
      } catch (cause) {
        const most = `calibration of this layer expected ${Math.ceil(bytes / 2 ** 20)} MiB of WebAssembly memory`;
        throw new RangeError(`${most}, the host gives less`, { cause });
      }
    }
    return memory.buffer as ArrayBuffer;
  }
}

/** Writes rows `[rows, columns]` as strips of eight columns, zeros behind the last: `[strip][row][8]`. */
function packStrips(x: Float32Array, from: number, rows: number, columns: number, to: Float32Array): void {
  let at = 0;
  for (let left = 0; left < columns; left += STRIP) {
    const width = Math.min(STRIP, columns - left);
    if (width < STRIP) to.fill(0, at, at + rows * STRIP);
    for (let row = 0, source = from + left; row < rows; row++, source += columns, at += STRIP)
      for (let c = 0; c < width; c++) to[at + c] = x[source + c] as number;
  }
}

/** @param own holds the arrays of a room @param passing what products pass through */
export function wasmLinearAlgebra(own: LinearAbi, passing: LinearAbi): LinearAlgebra {
  const arena = new Arena(own);
  const products = new Arena(passing);
  const scratch = arena.base;
  const arrays = scratch + SCRATCH_BYTES;

  const addressOf = (values: Float64Array | Float32Array, name: string): number => {
    if (values.buffer !== own.memory.buffer)
      throw new TypeError(`"${name}" expected an array of the present room, got another one`);
    return values.byteOffset;
  };
  const pointer = ({ values, at }: Operand, name: string) => addressOf(values, name) + 8 * at;

  /** `total += X'T` by strips of X; of T only the strips from X's own on where it is X, and both halves are added. */
  const add: LinearAlgebra['addCross'] = (total, x, t, rows, k, n) => {
    const isGram = x === t;
    const most = Math.min(rows, CHUNK_ROWS);
    const stripsX = Math.ceil(k / STRIP);
    const stripsT = Math.ceil(n / STRIP);
    const stride = stripsT * STRIP;
    const bytesX = 4 * most * stripsX * STRIP;
    const bytesT = isGram ? 0 : 4 * most * stride;
    const buffer = products.reserve(bytesX + bytesT + 8 * STRIP * stride);
    const packedX = products.base;
    const packedT = isGram ? packedX : packedX + bytesX;
    const out = packedX + bytesX + bytesT;
    const sums = new Float64Array(buffer, out, STRIP * stride);
    for (let start = 0; start < rows; start += CHUNK_ROWS) {
      const count = Math.min(CHUNK_ROWS, rows - start);
      packStrips(x, start * k, count, k, new Float32Array(buffer, packedX, bytesX / 4));
      if (!isGram) packStrips(t, start * n, count, n, new Float32Array(buffer, packedT, bytesT / 4));
      const bytes = 4 * count * STRIP;
      for (let strip = 0; strip < stripsX; strip++) {
        const first = isGram ? strip : 0;
        const b = packedT + first * bytes;
        passing.crossStrip(packedX + strip * bytes, b, count, stripsT - first, out, 8 * stride);
        const top = strip * STRIP;
        const high = Math.min(STRIP, k - top);
        const left = first * STRIP;
        for (let i = 0; i < high; i++)
          for (let j = left, at = (top + i) * n + left, from = i * stride; j < n; j++, at++, from++)
            total[at] = (total[at] as number) + (sums[from] as number);
        if (!isGram) continue;
        for (let j = top + high; j < k; j++)
          for (let i = 0; i < high; i++) {
            const at = j * k + top + i;
            total[at] = (total[at] as number) + (sums[i * stride + j - left] as number);
          }
      }
    }
  };

  return {
    backend: 'simd',
    room(bytes): Room {
      const buffer = arena.reserve(SCRATCH_BYTES + aligned(bytes));
      let next = arrays;
      const take = (length: number, size: number): number => {
        const at = next;
        next += aligned(length * size);
        if (next > buffer.byteLength)
          throw new RangeError(expected('length', 'what is left of the room', length));
        return at;
      };
      return {
        float64: (length) => new Float64Array(buffer, take(length, 8), length).fill(0),
        float32: (length) => new Float32Array(buffer, take(length, 4), length).fill(0),
      };
    },
    addGram: (total, x, rows, k) => add(total, x, x, rows, k, k),
    addCross: add,
    subtractProduct(c, a, b, rows, columns, depth) {
      own.subtractProduct(
        ...[pointer(c, 'c'), 8 * c.rowStride],
        ...[pointer(a, 'a'), 8 * a.rowStride, 8 * a.columnStride],
        ...[pointer(b, 'b'), 8 * b.rowStride, 8 * b.columnStride],
        ...[rows, columns, depth, scratch],
      );
    },
    subtractScaled(y, factor, x) {
      own.subtractScaled(addressOf(y, 'y'), factor, addressOf(x, 'x'), x.length);
    },
  };
}
