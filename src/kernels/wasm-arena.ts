import { BitnibbleError, expected } from '../errors.js';

/** A kernel's arguments are addresses, counts and flags. */
export type Kernel = (...args: number[]) => void;

/** What `assembly/reader.ts` exports; docs/KERNELS.md says what each argument means. */
export interface ReaderAbi {
  readonly memory: WebAssembly.Memory;
  bitnibbleAbi(): number;
  arenaBase(): number;
  extendColumns(values: number, columns: number): number;
  readonly unpackInt2Columns: Kernel;
  readonly unpackInt2Runs: Kernel;
  readonly unpackInt4Columns: Kernel;
  readonly unpackInt4Runs: Kernel;
  readonly unpackSignColumns: Kernel;
  readonly unpackSignRuns: Kernel;
}

/** What `assembly/index.ts` exports. */
export interface Abi extends ReaderAbi {
  readonly absMaxColumns: Kernel;
  readonly absMaxRuns: Kernel;
  readonly absSumColumns: Kernel;
  readonly absSumRuns: Kernel;
  readonly difference: Kernel;
  readonly packInt2Columns: Kernel;
  readonly packInt2Runs: Kernel;
  readonly packInt4Columns: Kernel;
  readonly packInt4ColumnsUnclamped: Kernel;
  readonly packInt4Groups: Kernel;
  readonly packInt4Runs: Kernel;
  readonly packInt4RunsUnclamped: Kernel;
  readonly packSign: Kernel;
  readonly projectInt2Columns: Kernel;
  readonly projectInt2Runs: Kernel;
  readonly projectInt4Columns: Kernel;
  readonly projectInt4Runs: Kernel;
}

/** The ABI that the wrappers speak. */
export const ABI_VERSION = 2;

/** Bytes that kernels may read behind the last element of a tile. */
export const OVERREAD = 64;

/** Bytes of wasm memory that all work goes through. */
export const ARENA_BYTES = 6 << 20;

/** Room for one tile of 1024 elements and the vectors of the widest stripe. */
const LEAST_BYTES = 32 << 10;

/** A fixed piece of wasm memory: tiles are copied in, worked on, and copied out. */
export interface Arena<A extends ReaderAbi = Abi> {
  readonly abi: A;
  readonly bytes: number;
  /** Elements of a tile, a multiple of 1024: 256 KiB of float32, to stay in L2; in and out, at most half of the arena. */
  readonly tile: number;
  /** Columns that a column vector may have. */
  readonly columns: number;
  /** Entries of a run table. */
  readonly entries: number;
  /** Address of new room within {@link Arena.scope}. */
  take(bytes: number): number;
  /** Runs `work`, then gives back all that it took, also when it throws. */
  scope<T>(work: () => T): T;
  view(pointer: number, bytes: number): Uint8Array;
  floats(pointer: number, count: number): Float32Array;
  doubles(pointer: number, count: number): Float64Array;
}

/**
 * @param bytes at least 32 KiB; results never depend on it
 * @throws BitnibbleError `bad-module` for exports of another module
 * @throws RangeError for too small an arena
 */
export function makeArena<A extends ReaderAbi>(abi: A, bytes = ARENA_BYTES): Arena<A> {
  if (!(abi.memory?.buffer && typeof abi.bitnibbleAbi === 'function')) {
    throw new BitnibbleError('bad-module', '"module" expected the kernels of bitnibble, got another module');
  }
  if (abi.bitnibbleAbi() !== ABI_VERSION) {
    const got = `${abi.bitnibbleAbi()}: take both from one version of bitnibble`;
    throw new BitnibbleError('bad-module', `"module" expected kernels of ABI ${ABI_VERSION}, got ${got}`);
  }
  if (!(bytes >= LEAST_BYTES)) throw new RangeError(expected('arenaBytes', `at least ${LEAST_BYTES}`, bytes));
  const { memory } = abi;
  const base = (abi.arenaBase() + 63) & -64;
  const end = base + bytes;
  const missing = end + OVERREAD - memory.buffer.byteLength;
  if (missing > 0) memory.grow(Math.ceil(missing / 65536));
  let top = base;
  return {
    abi,
    bytes,
    tile: Math.min(1 << 16, (bytes >> 4) & -1024),
    columns: bytes >> 7,
    entries: bytes >> 9,
    take(size) {
      const pointer = top;
      top = (top + size + 63) & -64;
      if (top > end) throw new Error(`arena of ${bytes} bytes cannot hold ${top - base}`);
      return pointer;
    },
    scope(work) {
      const mark = top;
      try {
        return work();
      } finally {
        top = mark;
      }
    },
    view: (pointer, size) => new Uint8Array(memory.buffer, pointer, size),
    floats: (pointer, count) => new Float32Array(memory.buffer, pointer, count),
    doubles: (pointer, count) => new Float64Array(memory.buffer, pointer, count),
  };
}

/** The bytes of an array of numbers. */
export function bytesOf(array: ArrayBufferView): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}
