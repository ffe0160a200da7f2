// What bench/kernels.ts measures: every case does one job over `count` matrices of [rows, columns].

import { readFileSync } from 'node:fs';
import { type Kernels, loadKernels } from '../src/kernels/index.js';
import type { BlockLayout } from '../src/shape.js';
import { plainInt2, plainInt4, plainSign, plainUnpackInt2, plainUnpackInt4 } from './kernels-plain.js';

export interface Size {
  readonly name: string;
  readonly count: number;
  readonly rows: number;
  readonly columns: number;
}

/** A ratio that the case is to reach, in the same run: `over` is another case. */
export interface Floor {
  readonly over: string;
  /** At 1 Mi and at 64 Mi weights. */
  readonly small?: number;
  readonly large: number;
}

export interface Case {
  readonly name: string;
  readonly where: 'in wasm memory' | 'from JavaScript';
  readonly run: () => unknown;
  readonly floors?: readonly Floor[];
  /** What bounds it, as measurements and the machine code say. */
  readonly bound: string;
}

export const SUM = 'sum';
export const SET = 'TypedArray.set';

type Export = (...args: number[]) => number;

/** 1 Mi weights at a time: filling 64 Mi from a generator would take longer than the measurements. */
function fill(weights: Float32Array): void {
  let state = 1;
  const block = weights.subarray(0, Math.min(weights.length, 1 << 20));
  for (let i = 0; i < block.length; i++) {
    let sum = -2;
    for (let k = 0; k < 4; k++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      sum += state / 2 ** 32;
    }
    block[i] = 0.05 * sum;
  }
  for (let at = block.length; at < weights.length; at += block.length) {
    weights.set(block.subarray(0, weights.length - at), at);
  }
}

/** Kernels straight on data that lies in wasm memory, without wrapper. */
function wasmCases({ count, rows, columns }: Size): Case[] {
  const url = new URL('../build/kernels-bench.wasm', import.meta.url);
  const instance = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(url)));
  const { memory, ...rest } = instance.exports;
  const wasm = rest as Record<string, Export>;
  const { buffer } = memory as WebAssembly.Memory;
  let top = Math.ceil(wasm.arenaBase!() / 4096) * 4096;
  const take = (bytes: number) => {
    const at = top;
    top = Math.ceil((top + bytes + 64) / 4096) * 4096;
    return at;
  };
  const each = rows * columns;
  const size = count * each;
  const weights = take(size * 4);
  const values = take(size * 4);
  const codes = take(size / 2);
  const vector = take((columns + 128) * 4);
  const maxima = take((size / 32 + 4) * 4);
  const scratch = take((columns + 128) * 4);
  const totals = take((columns + 4) * 8);
  const table = take(8);
  const one = take(256);
  (memory as WebAssembly.Memory).grow(Math.ceil((top - buffer.byteLength) / 65536));
  const floats = (at: number, n: number) => new Float32Array((memory as WebAssembly.Memory).buffer, at, n);
  fill(floats(weights, size));
  floats(values, size).fill(1);
  floats(vector, columns).fill(70);
  const period = wasm.extendColumns!(vector, columns);
  new Uint32Array((memory as WebAssembly.Memory).buffer, table, 1)[0] = each;
  floats(table + 4, 1)[0] = 70;
  wasm.packInt4Columns!(weights, codes, 0, size, vector, period, 0);

  const job = (
    name: string,
    bound: string,
    run: (w: number, p: number, v: number) => unknown,
    ...floors: Floor[]
  ) => {
    const loop = () => {
      for (let m = 0; m < count; m++)
        run(weights + m * each * 4, codes + (m * each) / 2, values + m * each * 4);
    };
    return { name, where: 'in wasm memory', bound, run: loop, floors } as const;
  };
  const floor = (large: number): Floor => ({ over: SUM, large });
  const memoryBound = 'memory at 64 Mi, L3 at 1 Mi';
  return [
    job(SUM, memoryBound, (w) => wasm.sum!(w, each)),
    job('sum, four quarters at once', memoryBound, (w) => wasm.sumStreams!(w, each)),
    job('sign pack', memoryBound, (w, p) => wasm.packSign!(w, p, each), floor(0.9)),
    job(
      'int4 pack, one scale given',
      '48 vector instructions for 32 weights; memory at 64 Mi',
      (w, p) => wasm.packInt4Runs!(w, p, 0, table, 1, one),
      floor(0.65),
    ),
    job(
      'int4 pack, scale per channel given',
      'as before',
      (w, p) => wasm.packInt4Columns!(w, p, 0, each, vector, period, 0),
      floor(0.55),
    ),
    job(
      'int4 statistics and pack, groups of 32 rows',
      'memory for the statistics, then 38 vector instructions for 32 weights, from L2 where a group fits',
      (w, p) => wasm.packInt4Groups!(w, rows, columns, 32, p, maxima, scratch),
      floor(0.35),
    ),
    job(
      'int4 unpack, scale per channel',
      'instructions at 1 Mi; memory at 64 Mi',
      (_, p, v) => wasm.unpackInt4Columns!(p, v, 0, each, vector, period, 0),
      { over: SET, large: 1 },
    ),
    job('sign unpack, scale per channel', 'as before', (_, p, v) =>
      wasm.unpackSignColumns!(p, v, 0, each, vector, period, 0),
    ),
    job('int2 pack, scale per channel given', '66 vector instructions for 32 weights', (w, p) =>
      wasm.packInt2Columns!(w, p, 0, each, vector, period, 0),
    ),
    job('int2 unpack, scale per channel', 'memory, one stream', (_, p, v) =>
      wasm.unpackInt2Columns!(p, v, 0, each, vector, period, 0),
    ),
    job('abs-max per channel', memoryBound, (w) => wasm.absMaxColumns!(w, rows, columns, scratch)),
    job('abs-sum per channel', memoryBound, (w) => {
      wasm.absSumColumns!(w, rows, columns, scratch, totals, 0, 1);
    }),
  ];
}

/** From a Float32Array to packed bytes and back, through the wrapper. */
function scriptCases(kernels: Kernels, { count, rows, columns }: Size): Case[] {
  const each = rows * columns;
  const weights = new Float32Array(count * each);
  const copy = new Float32Array(weights.length).fill(1);
  fill(weights);
  const matrices = Array.from({ length: count }, (_, m) => weights.subarray(m * each, (m + 1) * each));
  const copies = Array.from({ length: count }, (_, m) => copy.subarray(m * each, (m + 1) * each));
  const channel: BlockLayout = { outer: rows, channels: columns, inner: 1, groupRows: rows };
  const groups: BlockLayout = { ...channel, groupRows: 32 };
  const scales = new Float32Array(columns).fill(0.01);
  const codes = new Uint8Array(each / 2).fill(0x5a);
  const signs = codes.subarray(0, each / 8);
  const pairs = codes.slice(0, each / 4);
  const inverses = scales.map((scale) => 1 / scale);
  checkPlain(kernels, matrices[0]!, channel);
  const job = (
    name: string,
    bound: string,
    run: (w: Float32Array, m: number) => unknown,
    ...floors: Floor[]
  ) => ({ name, where: 'from JavaScript', bound, run: () => matrices.forEach(run), floors }) as const;
  const copyBound = 'copying tiles into wasm memory';
  return [
    job(SET, 'memory', (w, m) => copies[m]!.set(w)),
    job(
      'sign per channel',
      copyBound,
      (w) => kernels.packSignWithAbsSum(w, channel),
      { over: 'sign per channel, plain JavaScript', small: 25, large: 15 },
      { over: SET, small: 0.35, large: 0.35 },
    ),
    job(
      'int4 per channel',
      `${copyBound}, twice where the arena cannot hold the tensor; page faults of the new codes`,
      (w) => kernels.packInt4WithAbsMax(w, channel),
      { over: 'int4 per channel, plain JavaScript', small: 20, large: 13 },
      { over: SET, small: 0.22, large: 0.3 },
    ),
    job(
      'int4 per channel, into given bytes',
      `${copyBound}, twice where the arena cannot hold the tensor`,
      (w) => kernels.packInt4WithAbsMaxInto(w, channel, codes),
      { over: SET, small: 0.22, large: 0.3 },
    ),
    job('int4, groups of 32 rows', `${copyBound}, once`, (w) => kernels.packInt4WithAbsMax(w, groups)),
    job('int4 unpack per channel', 'copying tiles out of wasm memory', (_, m) =>
      kernels.unpackInt4Into(codes, scales, channel, copies[m]!),
    ),
    job('sign unpack per channel', 'copying tiles out of wasm memory', (_, m) =>
      kernels.unpackSignInto(signs, scales, channel, copies[m]!),
    ),
    job('int2 per channel, scales given', `${copyBound}`, (w) =>
      kernels.packInt2Into(w, inverses, channel, pairs),
    ),
    job('int2 unpack per channel', 'copying tiles out of wasm memory', (_, m) =>
      kernels.unpackInt2Into(pairs, scales, channel, copies[m]!),
    ),
    job('int2, sums of a least-squares step', 'copying tiles into wasm memory', (w) =>
      kernels.projectInt2(w, inverses, channel),
    ),
    job('int4, sums of a least-squares step', 'copying tiles into wasm memory', (w) =>
      kernels.projectInt4(w, inverses, channel),
    ),
    job('difference', 'float64 arithmetic', (w, m) => kernels.difference(w, copies[m]!)),
    job('sign per channel, plain JavaScript', 'scalar arithmetic', (w) => plainSign(w, columns)),
    job('int4 per channel, plain JavaScript', 'scalar arithmetic', (w) => plainInt4(w, columns)),
    job('int4 unpack, plain JavaScript', 'scalar arithmetic', (_, m) => {
      plainUnpackInt4(codes, scales, copies[m]!);
    }),
    job('int2 per channel, plain JavaScript', 'scalar arithmetic', (w) => plainInt2(w, scales)),
    job('int2 unpack, plain JavaScript', 'scalar arithmetic', (_, m) => {
      plainUnpackInt2(pairs, scales, copies[m]!);
    }),
  ];
}

/** A comparison is worth something when both sides make the same bytes. */
function checkPlain(kernels: Kernels, weights: Float32Array, layout: BlockLayout): void {
  const same = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0;
  const signs = plainSign(weights, layout.channels).codes;
  const int4 = plainInt4(weights, layout.channels).codes;
  const scales = new Float32Array(layout.channels).fill(0.01);
  const int2 = plainInt2(weights, scales);
  const values = new Float32Array(weights.length);
  plainUnpackInt2(int2, scales, values);
  if (
    !same(signs, kernels.packSign(weights)) ||
    !same(int4, kernels.packInt4WithAbsMax(weights, layout).codes) ||
    !same(
      int2,
      kernels.packInt2(
        weights,
        scales.map((scale) => 1 / scale),
        layout,
      ),
    ) ||
    kernels.difference(values, kernels.unpackInt2(int2, scales, layout)).maxError !== 0
  ) {
    throw new Error('plain JavaScript and kernels disagree');
  }
}

export async function makeCases(size: Size): Promise<Case[]> {
  const kernels = await loadKernels({ module: new WebAssembly.Module(kernelsFile()) });
  return [...wasmCases(size), ...scriptCases(kernels, size)];
}

function kernelsFile(): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(new URL('../build/kernels.wasm', import.meta.url)));
}
