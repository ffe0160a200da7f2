// Two kernels side by side over memory of the same contents.

import * as assert from 'uvu/assert';
import { type Kernels, loadRuntimeKernels } from '../../src/runtime/kernels.js';
import { type LayerRecord, RECORD_BYTES, RUN_BYTES, writeRecord } from '../../src/runtime/record.js';

export const simd = await loadRuntimeKernels();
export const reference = await loadRuntimeKernels({ backend: 'reference' });

/** Numbers from a seed: integers, and floats in [-1, 1). */
export function generator(seed: number) {
  let state = seed >>> 0;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state;
  };
  return {
    below: (n: number) => Math.floor((next() / 2 ** 32) * n),
    unit: () => next() / 2 ** 31 - 1,
    floats: (n: number, scale = 1) => Float32Array.from({ length: n }, () => (next() / 2 ** 31 - 1) * scale),
    bytes: (n: number) => Uint8Array.from({ length: n }, () => next() >>> 24),
  };
}

/** Room in both memories, the same addresses in both. Everything else holds 0xAA, so that writes beyond a result show. */
export class Pair {
  private top = Math.max(simd.base, reference.base);
  private readonly start = this.top;
  private readonly checked: [number, number][] = [];

  constructor(bytes = 1 << 20) {
    for (const { memory, reserve } of [simd, reference]) {
      reserve(this.top + bytes);
      new Uint8Array(memory.buffer, this.start, bytes).fill(0xaa);
    }
  }

  take(bytes: number): number {
    const at = this.top;
    this.top = (at + bytes + 63 + 64) & -64;
    for (const kernels of [simd, reference]) assert.ok(this.top <= kernels.memory.buffer.byteLength);
    return at;
  }

  put(array: Float32Array | Uint8Array | Int16Array | Int32Array | Uint32Array): number {
    const at = this.take(array.byteLength);
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    for (const { memory } of [simd, reference]) new Uint8Array(memory.buffer).set(bytes, at);
    return at;
  }

  /** Room whose contents are compared, 64 bytes around it included. */
  result(bytes: number): number {
    this.take(64);
    const at = this.take(bytes);
    this.checked.push([at - 64, bytes + 128]);
    this.take(64);
    return at;
  }

  record(record: Partial<LayerRecord>): number {
    const at = this.take(RECORD_BYTES);
    for (const { memory } of [simd, reference]) writeRecord(memory.buffer, at, record);
    return at;
  }

  table(runs: readonly (readonly [offset: number, rows: number, group: number])[]): {
    readonly table: number;
    readonly runs: number;
  } {
    assert.is(RUN_BYTES, 12);
    return { table: this.put(Int32Array.from(runs.flat())), runs: runs.length };
  }

  slot(): number {
    const at = this.result(8);
    for (const { memory } of [simd, reference]) new Int32Array(memory.buffer, at, 2).fill(0);
    return at;
  }

  /** Runs the same on both and compares the results, bit for bit; any NaN is as good as another. */
  run(work: (kernels: Kernels) => void): void {
    work(simd);
    work(reference);
    for (const [at, bytes] of this.checked) {
      const [a, b] = [simd, reference].map(({ memory }) => memory.buffer.slice(at, at + bytes)) as [
        ArrayBuffer,
        ArrayBuffer,
      ];
      const [left, right] = [new Uint32Array(a, 0, bytes >> 2), new Uint32Array(b, 0, bytes >> 2)];
      const isNotANumber = (word: number) => (word & 0x7fffffff) > 0x7f800000;
      for (let i = 0; i < left.length; i++) {
        const [x, y] = [left[i] as number, right[i] as number];
        if (x !== y && !(isNotANumber(x) && isNotANumber(y))) {
          const floats = [new Float32Array(a, 0, bytes >> 2)[i], new Float32Array(b, 0, bytes >> 2)[i]];
          assert.unreachable(
            `word ${i - 16} of ${(bytes >> 2) - 32}: simd ${x} (${floats[0]}), reference ${y} (${floats[1]})`,
          );
        }
      }
    }
  }

  floats(kernels: Kernels, at: number, n: number): Float32Array {
    return new Float32Array(kernels.memory.buffer, at, n);
  }
}
