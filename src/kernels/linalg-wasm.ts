import { BitnibbleError, expected } from '../errors.js';
import { CHUNK_ROWS, type LinearAlgebra, type Operand, type Room } from './linalg-types.js';
import { ABI_VERSION, type Kernel } from './wasm-arena.js';
import { TILE_IN, TILE_OUT, tilesOf } from './winograd.js';

/** What `assembly/linalg.ts` exports. */
export interface LinearAbi {
  readonly memory: WebAssembly.Memory;
  bitnibbleAbi(): number;
  arenaBase(): number;
  readonly crossStrip: Kernel;
  readonly packStrips: Kernel;
  readonly subtractProduct: Kernel;
  readonly subtractScaled: Kernel;
  readonly winogradInput: Kernel;
  readonly winogradProduct: Kernel;
  readonly winogradOutput: Kernel;
}

/** Bytes that `subtractProduct` packs its tiles into: 64 x 64 and 64 x 4 float64. */
const SCRATCH_BYTES = 64 * 64 * 8 + 64 * 4 * 8;

/** Bytes of rows that are packed at once, and of sums that stay in memory meanwhile: in caches of level 3 and 2. */
const PACKED_BYTES = 1 << 22;
const SUMS_BYTES = 1 << 19;

/** Bytes of transformed inputs and products that are held at once: half of a level 2 cache of 1 MiB. */
const WINOGRAD_BYTES = 1 << 19;

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

  /**
   * Writes chunks of rows of `[rows, columns]` as strips of eight columns, zeros behind the last: `[chunk][strip][row][8]`.
   * @param staging room for a chunk
   */
  const packChunks = (
    x: Float32Array,
    start: number,
    rows: number,
    columns: number,
    to: number,
    staging: number,
  ) => {
    const full = Math.floor(columns / STRIP);
    const left = full * STRIP;
    for (let chunk = start, at = to; chunk < start + rows; chunk += CHUNK_ROWS) {
      const count = Math.min(CHUNK_ROWS, start + rows - chunk);
      const own = x.subarray(chunk * columns, (chunk + count) * columns);
      new Float32Array(passing.memory.buffer, staging, own.length).set(own);
      passing.packStrips(staging, 4 * columns, count, full, at);
      at += 4 * count * left;
      if (left === columns) continue;
      const last = new Float32Array(passing.memory.buffer, at, count * STRIP).fill(0);
      for (let row = 0; row < count; row++)
        last.set(own.subarray(row * columns + left, (row + 1) * columns), row * STRIP);
      at += 4 * last.length;
    }
  };

  /**
   * `total += X'T` by strips of X; of T only the strips from X's own on where `isGram` says that it is X. Sums of a few strips of X stay in memory over many
   * chunks of rows:
   *
   *     for rows that fit      X and T are packed
   *       for strips of X      their rows of the total are brought in
   *         for chunks of rows   and added to
   */
  const add = (
    total: Float64Array,
    x: Float32Array,
    t: Float32Array,
    rows: number,
    k: number,
    n: number,
    isGram: boolean,
  ): void => {
    const stripsX = Math.ceil(k / STRIP);
    const stripsT = Math.ceil(n / STRIP);
    const stride = stripsT * STRIP;
    const bytesOfRow = 4 * STRIP * (stripsX + (isGram ? 0 : stripsT));
    const chunks = Math.max(1, Math.floor(PACKED_BYTES / bytesOfRow / CHUNK_ROWS));
    const most = Math.min(rows, chunks * CHUNK_ROWS);
    const held = Math.min(stripsX, Math.max(1, Math.floor(SUMS_BYTES / (8 * STRIP * stride))));
    const staged = 4 * CHUNK_ROWS * Math.max(k, n);
    const buffer = products.reserve(bytesOfRow * most + 8 * STRIP * stride * held + staged);
    const packedX = products.base;
    const packedT = isGram ? packedX : packedX + 4 * STRIP * stripsX * most;
    const out = packedX + bytesOfRow * most;
    const sums = new Float64Array(buffer, out, STRIP * stride * held);
    const staging = out + sums.byteLength;
    for (let start = 0; start < rows; start += most) {
      const count = Math.min(most, rows - start);
      packChunks(x, start, count, k, packedX, staging);
      if (!isGram) packChunks(t, start, count, n, packedT, staging);
      for (let from = 0; from < stripsX; from += held) {
        const end = Math.min(stripsX, from + held);
        const [top, bottom] = [from * STRIP, Math.min(k, end * STRIP)];
        const left = isGram ? top : 0;
        for (let i = top; i < bottom; i++)
          sums.set(total.subarray(i * n + left, (i + 1) * n), (i - top) * stride + left);
        for (let chunk = 0; chunk < count; chunk += CHUNK_ROWS) {
          const own = Math.min(CHUNK_ROWS, count - chunk);
          const bytes = 4 * own * STRIP;
          const a = packedX + 4 * chunk * STRIP * stripsX;
          const b = packedT + 4 * chunk * stride;
          for (let strip = from; strip < end; strip++) {
            const first = isGram ? strip : 0;
            const to = out + 8 * STRIP * ((strip - from) * stride + first);
            passing.crossStrip(a + strip * bytes, b + first * bytes, own, stripsT - first, to, 8 * stride);
          }
        }
        for (let i = top; i < bottom; i++) {
          const at = (i - top) * stride;
          total.set(sums.subarray(at + left, at + n), i * n + left);
        }
      }
    }
  };

  /** The lower triangle, which is the upper one's mirror. */
  const addGram: LinearAlgebra['addGram'] = (total, x, rows, k) => {
    add(total, x, x, rows, k, k, true);
    for (let i = 1; i < k; i++) for (let j = 0; j < i; j++) total[i * k + j] = total[j * k + i] as number;
  };

  /** Row by row of tiles: as many rows as fit are transformed, multiplied, and transformed back. */
  const convolve: LinearAlgebra['convolve'] = (y, x, kernel, bias, size) => {
    const { images, height, width, channels, outputs, border } = size;
    const { outHeight, outWidth, down, across } = tilesOf(size);
    const most = WINOGRAD_BYTES / (4 * TILE_IN ** 2 * (channels + outputs) * across);
    const rows = Math.max(1, Math.min(images * down, Math.floor(most)));
    const tiles = (rows * across + 3) & ~3;
    // A row of tiles takes six rows of pixels, and gives four.
    const [lengthIn, lengthOut] = [(TILE_OUT * across + 2) * channels, TILE_OUT * across * outputs];
    const lengths = [
      ...[kernel.length, outputs, TILE_IN * lengthIn, TILE_OUT * lengthOut],
      ...[TILE_IN ** 2 * tiles * channels, TILE_IN ** 2 * tiles * outputs],
    ];
    const starts: number[] = [];
    let end = products.base;
    for (const length of lengths) {
      starts.push(end);
      end += aligned(4 * length);
    }
    const buffer = products.reserve(end - products.base);
    const [u, b, strip, out, v, m] = starts as [number, number, number, number, number, number];
    const floats = (at: number, length: number) => new Float32Array(buffer, at, length);
    floats(u, kernel.length).set(kernel);
    floats(b, outputs).set(bias);
    const taken = floats(strip, TILE_IN * lengthIn);
    const given = floats(out, TILE_OUT * lengthOut);
    const [planeV, planeM] = [4 * tiles * channels, 4 * tiles * outputs];
    for (let first = 0; first < images * down; first += rows) {
      const count = Math.min(rows, images * down - first);
      for (let row = 0; row < count; row++) {
        const image = Math.floor((first + row) / down);
        const top = ((first + row) % down) * TILE_OUT - border;
        taken.fill(0);
        for (let i = Math.max(0, -top); i < TILE_IN && top + i < height; i++) {
          const from = (image * height + top + i) * width * channels;
          taken.set(x.subarray(from, from + width * channels), i * lengthIn + border * channels);
        }
        passing.winogradInput(strip, 4 * lengthIn, across, channels, v + 4 * row * across * channels, planeV);
      }
      passing.winogradProduct(v, u, m, tiles, channels, outputs);
      for (let row = 0; row < count; row++) {
        const image = Math.floor((first + row) / down);
        const top = ((first + row) % down) * TILE_OUT;
        passing.winogradOutput(
          m + 4 * row * across * outputs,
          planeM,
          across,
          outputs,
          b,
          out,
          4 * lengthOut,
        );
        for (let i = 0; i < TILE_OUT && top + i < outHeight; i++)
          y.set(
            given.subarray(i * lengthOut, i * lengthOut + outWidth * outputs),
            (image * outHeight + top + i) * outWidth * outputs,
          );
      }
    }
  };

  return {
    backend: 'simd',
    convolve,
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
    addGram,
    addCross: (total, x, t, rows, k, n) => add(total, x, t, rows, k, n, false),
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
