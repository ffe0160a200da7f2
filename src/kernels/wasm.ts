import { BitnibbleError } from '../errors.js';
import { type BlockLayout, blockCount } from '../shape.js';
import {
  checkBytes,
  checkCodes,
  checkCoding,
  checkFloats,
  checkLayout,
  checkMaxima,
  checkProjection,
  checkRoom,
  checkSums,
  codeBytes,
} from './check.js';
import type { Difference, Kernels, Projection } from './types.js';
import { type Abi, type Arena, type Kernel, makeArena, OVERREAD } from './wasm-arena.js';
import { bring, code, columnBytes, copyOut } from './wasm-code.js';
import { wasmDecoder } from './wasm-decode.js';
import { isColumns } from './wasm-runs.js';
import { absMax, blockSums, type Projector } from './wasm-stats.js';

/** Largest float32. */
const MAX_FLOAT32 = (2 - 2 ** -23) * 2 ** 127;

/** What the kernel invertColumns computes. */
function inverseOf(max: number): number {
  return max === 0 ? 0 : Math.min(Math.fround(7 / max), MAX_FLOAT32);
}

/**
 * The SIMD backend over an instance of the module. Tensors of any size stream through a fixed arena in its memory.
 *
 * @param arenaBytes for tests: a small arena makes many tiles; results do not depend on it
 */
export function wasmKernels(abi: Abi, arenaBytes?: number): Kernels {
  const arena = makeArena(abi, arenaBytes);
  if (typeof abi.packSign !== 'function') {
    throw new BitnibbleError(
      'bad-module',
      '"module" expected kernels.wasm of bitnibble, got its reader.wasm',
    );
  }

  const kernels: Kernels = {
    ...wasmDecoder(arena),

    lend(weights, codes) {
      const first = (abi.arenaBase() + 63 + arena.bytes + OVERREAD + 63) & -64;
      const second = first + weights * 4 + OVERREAD;
      const missing = second + codes + OVERREAD - abi.memory.buffer.byteLength;
      try {
        if (missing > 0) abi.memory.grow(Math.ceil(missing / 65536));
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
        return { weights: new Float32Array(weights), codes: new Uint8Array(codes) };
      }
      const buffer = abi.memory.buffer as ArrayBuffer;
      return {
        weights: new Float32Array(buffer, first, weights),
        codes: new Uint8Array(buffer, second, codes),
      };
    },

    absMax(weights, layout, given) {
      checkFloats('weights', weights);
      checkLayout(layout, weights);
      const max = checkMaxima(given, layout);
      arena.scope(() => absMax(arena, weights, layout, max));
      return max;
    },

    absSum(weights, layout, given) {
      checkFloats('weights', weights);
      checkLayout(layout, weights);
      const sums = checkSums(given, layout);
      arena.scope(() => blockSums(arena, weights, layout, null, [sums]));
      return sums;
    },

    packSign(weights) {
      checkFloats('weights', weights);
      return kernels.packSignInto(weights, new Uint8Array(codeBytes(weights.length, 1)));
    },

    packSignInto(weights, out) {
      checkFloats('weights', weights);
      checkBytes('out', out);
      checkRoom('out', out, codeBytes(weights.length, 1), 'bytes');
      arena.scope(() => {
        const room = arena.take(arena.tile * 4);
        const packTile = signPacker(arena, out);
        for (let from = 0; from < weights.length; from += arena.tile) {
          const to = Math.min(weights.length, from + arena.tile);
          const input = bring(arena, room, { array: weights, bits: 32 }, from, to);
          packTile(input, from, to - from);
        }
      });
      return out;
    },

    packSignWithAbsSum(weights, layout) {
      checkFloats('weights', weights);
      checkLayout(layout, weights);
      if (isColumns(layout) && layout.channels > arena.columns) {
        return { codes: kernels.packSign(weights), absSum: kernels.absSum(weights, layout) };
      }
      const codes = new Uint8Array(codeBytes(weights.length, 1));
      const sums = new Float64Array(blockCount(layout));
      arena.scope(() => blockSums(arena, weights, layout, null, [sums], signPacker(arena, codes)));
      return { codes, absSum: sums };
    },

    packInt4(weights, inverses, layout) {
      checkFloats('weights', weights);
      return kernels.packInt4Into(weights, inverses, layout, new Uint8Array(codeBytes(weights.length, 4)));
    },

    packInt4Into(weights, inverses, layout, out) {
      checkCoding(weights, inverses, layout);
      checkBytes('out', out);
      checkRoom('out', out, codeBytes(weights.length, 4), 'bytes');
      const source = { array: weights, bits: 32 } as const;
      const target = { array: out, bits: 4 } as const;
      code(arena, layout, inverses, source, target, abi.packInt4Columns, abi.packInt4Runs);
      return out;
    },

    packInt4WithAbsMax(weights, layout) {
      checkFloats('weights', weights);
      return kernels.packInt4WithAbsMaxInto(weights, layout, new Uint8Array(codeBytes(weights.length, 4)));
    },

    packInt4WithAbsMaxInto(weights, layout, codes) {
      checkFloats('weights', weights);
      checkLayout(layout, weights);
      checkBytes('out', codes);
      checkRoom('out', codes, codeBytes(weights.length, 4), 'bytes');
      const max = new Float32Array(blockCount(layout));
      if (!packGroups(arena, weights, layout, codes, max)) {
        arena.scope(() => absMax(arena, weights, layout, max));
        const source = { array: weights, bits: 32 } as const;
        const target = { array: codes, bits: 4 } as const;
        const inverses = max.map(inverseOf);
        code(
          arena,
          layout,
          inverses,
          source,
          target,
          abi.packInt4ColumnsUnclamped,
          abi.packInt4RunsUnclamped,
        );
      }
      return { codes, absMax: max };
    },

    projectInt4(weights, inverses, layout, sums) {
      const { projectInt4Columns: columns, projectInt4Runs: runs } = abi;
      return project(arena, weights, layout, { inverses, columns, runs }, sums);
    },

    packInt2(weights, inverses, layout) {
      checkFloats('weights', weights);
      return kernels.packInt2Into(weights, inverses, layout, new Uint8Array(codeBytes(weights.length, 2)));
    },

    packInt2Into(weights, inverses, layout, out) {
      checkCoding(weights, inverses, layout);
      checkBytes('out', out);
      checkRoom('out', out, codeBytes(weights.length, 2), 'bytes');
      const source = { array: weights, bits: 32 } as const;
      const target = { array: out, bits: 2 } as const;
      code(arena, layout, inverses, source, target, abi.packInt2Columns, abi.packInt2Runs);
      return out;
    },

    projectInt2(weights, inverses, layout, sums) {
      const { projectInt2Columns: columns, projectInt2Runs: runs } = abi;
      return project(arena, weights, layout, { inverses, columns, runs }, sums);
    },

    difference(weights, decoded) {
      checkFloats('weights', weights);
      checkFloats('decoded', decoded, weights.length);
      return arena.scope(() => difference(arena, weights, decoded));
    },

    differenceSign: differing(arena, 1, abi.unpackSignColumns, abi.unpackSignRuns),
    differenceInt2: differing(arena, 2, abi.unpackInt2Columns, abi.unpackInt2Runs),
    differenceInt4: differing(arena, 4, abi.unpackInt4Columns, abi.unpackInt4Runs),
  };
  return kernels;
}

/** Both sums of a least-squares step. */
function project(
  arena: Arena,
  weights: Float32Array,
  layout: BlockLayout,
  projector: Projector,
  sums: Projection | undefined,
): Projection {
  checkCoding(weights, projector.inverses, layout);
  const { wq, qq } = checkProjection(sums, layout);
  arena.scope(() => blockSums(arena, weights, layout, projector, [wq, qq]));
  return { wq, qq };
}

/** Packs tiles that lie in the arena already; takes room for the codes of the largest. */
function signPacker(arena: Arena, out: Uint8Array) {
  const output = arena.take(Math.max(arena.tile, 8 * arena.columns) / 8);
  return (input: number, from: number, count: number) => {
    arena.abi.packSign(input, output, count);
    copyOut(arena, output, { array: out, bits: 1 }, from, from + count);
  };
}

/**
 * Column layouts, whole groups at a time, each weight copied in once. False where one group does not fit the arena.
 */
function packGroups(
  arena: Arena,
  weights: Float32Array,
  layout: BlockLayout,
  codes: Uint8Array,
  max: Float32Array,
): boolean {
  const { outer, channels, groupRows } = layout;
  if (!isColumns(layout) || channels > arena.columns) return false;
  const group = Math.min(groupRows, outer);
  // Whole bytes: an odd number of weights in a group needs an even number of groups.
  const unit = (group * channels) % 2 === 0 ? group : 2 * group;
  const rows = Math.min(outer, unit * Math.max(1, Math.floor(arena.tile / (unit * channels))));
  const count = rows * channels;
  const blocks = Math.ceil(rows / group) * channels;
  if (count * 4.5 + (blocks + 3) * 4 + columnBytes(channels) + 256 > arena.bytes) return false;
  arena.scope(() => {
    const room = arena.take(count * 4);
    const output = arena.take(count / 2 + 1);
    const maxima = arena.take((blocks + 3) * 4);
    const inverses = arena.take(columnBytes(channels));
    for (let row = 0; row < outer; row += rows) {
      const end = Math.min(outer, row + rows);
      const input = bring(arena, room, { array: weights, bits: 32 }, row * channels, end * channels);
      arena.abi.packInt4Groups(input, end - row, channels, group, output, maxima, inverses);
      copyOut(arena, output, { array: codes, bits: 4 }, row * channels, end * channels);
      const first = (row / group) * channels;
      max.set(arena.floats(maxima, Math.min(blocks, max.length - first)), first);
    }
  });
  for (let i = 0; i < max.length; i++) if (Number.isNaN(max[i])) max[i] = Number.NaN;
  return true;
}

function difference(arena: Arena, weights: Float32Array, decoded: Float32Array): Difference {
  const [a, b] = [arena.take(arena.tile * 4), arena.take(arena.tile * 4)];
  const sums = differenceSums(arena);
  for (let from = 0; from < weights.length; from += arena.tile) {
    const to = Math.min(weights.length, from + arena.tile);
    const input = bring(arena, a, { array: weights, bits: 32 }, from, to);
    sums.add(input, bring(arena, b, { array: decoded, bits: 32 }, from, to), to - from);
  }
  return sums.end();
}

/** {@link difference} from codes, whose values are there for a tile at a time. */
function differing(arena: Arena, bits: 1 | 2 | 4, columns: Kernel, runs: Kernel) {
  return (
    weights: Float32Array,
    codes: Uint8Array,
    scales: Float32Array,
    layout: BlockLayout,
  ): Difference => {
    checkFloats('weights', weights);
    checkLayout(layout, weights);
    checkCodes(codes, bits, scales, layout);
    return arena.scope(() => {
      const room = arena.take(arena.tile * 4);
      const sums = differenceSums(arena);
      const set = ({ byteOffset, length }: Float32Array, from: number) =>
        sums.add(bring(arena, room, { array: weights, bits: 32 }, from, from + length), byteOffset, length);
      code(arena, layout, scales, { array: codes, bits }, { array: { set }, bits: 32 }, columns, runs);
      return sums.end();
    });
  };
}

/** Sums that tiles are added to, each but the last of a multiple of 8 numbers. */
function differenceSums({ take, doubles, abi }: Arena) {
  const state = take(18 * 8);
  doubles(state, 18).fill(0);
  return {
    add: (weights: number, decoded: number, count: number) => abi.difference(weights, decoded, count, state),
    end(): Difference {
      const lanes = doubles(state, 18);
      const sum = (i: number) =>
        lanes[i]! +
        lanes[i + 4]! +
        (lanes[i + 2]! + lanes[i + 6]!) +
        (lanes[i + 1]! + lanes[i + 5]! + (lanes[i + 3]! + lanes[i + 7]!));
      const noise = sum(8);
      const most = Math.sqrt(Math.max(lanes[16]!, lanes[17]!));
      return { signal: sum(0), noise, maxError: Number.isNaN(noise) ? Number.NaN : most };
    },
  };
}
