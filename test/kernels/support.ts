import * as fc from 'fast-check';
import { kernelBytes } from '../../src/kernels/embedded.js';
import { type Kernels, loadKernels } from '../../src/kernels/index.js';
import { type BlockLayout, blockCount, layoutSize } from '../../src/shape.js';

/** Small enough that tensors of a few thousand weights take many tiles, and matrices of 300 columns several stripes. */
export const SMALL_ARENA = 32 * 1024;

export const reference = await loadKernels({ backend: 'reference' });

const module = new WebAssembly.Module(kernelBytes());
const instances = [new WebAssembly.Instance(module), new WebAssembly.Instance(module)] as const;

/** Every backend that a suite runs over. */
export const backends: readonly (readonly [name: string, kernels: Kernels])[] = [
  ['reference', reference],
  ['simd', await loadKernels({ module: instances[0] })],
  ['simd, small arena', await loadKernels({ module: instances[1], arenaBytes: SMALL_ARENA })],
];

/** Fills the arenas with NaNs: a kernel that reads what nobody wrote there shows. */
export function poison(): void {
  for (const { exports } of instances) {
    const { memory, arenaBase } = exports as unknown as { memory: WebAssembly.Memory; arenaBase(): number };
    const end = Math.min(memory.buffer.byteLength, arenaBase() + (1 << 20));
    new Uint8Array(memory.buffer).fill(0xff, arenaBase(), end);
  }
}

export const tensor = (size: number): BlockLayout => ({
  outer: 1,
  channels: 1,
  inner: size,
  groupRows: Math.max(1, size),
});

export const columns = (rows: number, channels: number, groupRows = Math.max(1, rows)): BlockLayout => ({
  outer: rows,
  channels,
  inner: 1,
  groupRows,
});

/** Bytes of a typed array, as text that shows where two differ. */
export function hex({ buffer, byteOffset, byteLength }: ArrayBufferView): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString('hex');
}

/** Deterministic numbers in [0, 1). */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

const FINITE_CORNERS = [
  ...[0, -0, 2 ** -149, -(2 ** -149), 2 ** -126, 1e-40, -1e-40, 3.4e38, -3.4e38],
  ...[0.5, -0.5, 1.5, -1.5, 2.5, 6.5, 7.5, -7.5, -8.5, 1e9, -1.3e7, -2.6e7, 2 ** 23, -(2 ** 24)],
];
const NON_FINITE = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];

export type Flavour = 'plain' | 'corners' | 'non-finite';

/** Weights that begin `offset` floats into their buffer. */
export function makeWeights(size: number, seed: number, flavour: Flavour, offset = 0): Float32Array {
  const next = random(seed);
  const weights = new Float32Array(size + offset).subarray(offset);
  const pick = (values: readonly number[]) => values[Math.floor(next() * values.length)]!;
  for (let i = 0; i < size; i++) {
    const plain = (next() - 0.5) * 20;
    weights[i] = flavour !== 'plain' && next() < 0.1 ? pick(FINITE_CORNERS) : plain;
  }
  if (flavour === 'non-finite' && size > 0) weights[Math.floor(next() * size)] = pick(NON_FINITE);
  return weights;
}

/** Scales or inverses, one for each block: negative, zero, huge and tiny among them. */
export function makeValues(layout: BlockLayout, seed: number): Float32Array {
  const next = random(seed + 99);
  const corners = [0, -0, -1.25, 3e38, 1e-38, 2 ** -149, 1, 0.1];
  return Float32Array.from({ length: blockCount(layout) }, () =>
    next() < 0.2 ? corners[Math.floor(next() * corners.length)]! : next() * 3,
  );
}

export interface Case {
  readonly layout: BlockLayout;
  readonly seed: number;
  readonly offset: number;
  readonly flavour: Flavour;
}

/** Cases of all four shapes: one run, a matrix, its groups of rows, and runs of several channels. */
export function cases(most: number): fc.Arbitrary<Case> {
  const size = (max: number) => fc.integer({ min: 0, max });
  const group = fc.oneof(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 300 }), fc.constant(32));
  const side = Math.max(2, Math.floor(Math.sqrt(most)));
  const cube = Math.max(2, Math.floor(Math.cbrt(most)));
  const layout = fc.oneof(
    size(most).map(tensor),
    fc.tuple(size(side), size(side)).map(([k, n]) => columns(k, n)),
    fc.tuple(size(side), size(side), group).map(([k, n, g]) => columns(k, n, g)),
    fc.tuple(size(most), size(3), group).map(([k, n, g]) => columns(k, n, g)),
    fc.tuple(size(3), size(most), group).map(([k, n, g]) => columns(k, n, g)),
    fc
      .tuple(size(cube), size(cube), size(cube), group)
      .map(([outer, channels, inner, groupRows]) => ({ outer, channels, inner, groupRows })),
    fc
      .tuple(
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 2, max: 5 }),
        fc.integer({ min: 1, max: most }),
      )
      .chain(([outer, channels, inner]) =>
        fc
          .oneof(fc.constant(outer * inner), group)
          .map((groupRows) => ({ outer, channels, inner, groupRows })),
      ),
  );
  return fc.record({
    layout: layout.filter((l) => layoutSize(l) <= 10 * most),
    seed: fc.nat(),
    offset: size(3),
    flavour: fc.constantFrom<Flavour>('plain', 'plain', 'corners', 'non-finite'),
  });
}
