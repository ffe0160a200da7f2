import type { SchemeName } from './types.js';

/** The values that a scheme knows: `scale * (offset + step * level)`, `level` a whole number in [0, levels). */
export interface Grid {
  readonly offset: number;
  readonly step: number;
  readonly levels: number;
}

/** One grid for each scheme: -1, 1; -1.5, -0.5, 0.5, 1.5; -8 to 7. */
export const GRIDS: Readonly<Record<SchemeName, Grid>> = {
  binary: { offset: -1, step: 2, levels: 2 },
  int2: { offset: -1.5, step: 1, levels: 4 },
  int4: { offset: -8, step: 1, levels: 16 },
};

const MAX_F32 = 3.4028234663852886e38;

/** The highest level of a scheme, before the scale: the largest weight of a block lies on it with `absmax` scales. */
export function topOf(scheme: SchemeName): number {
  const { offset, step, levels } = GRIDS[scheme];
  return offset + step * (levels - 1);
}

/** `1 / scale` as the kernels take it: finite, 0 for scale 0. */
export function inverseOf(scale: number): number {
  return scale === 0 ? 0 : Math.min(Math.fround(1 / scale), MAX_F32);
}

/** The inverse that belongs to `absmax` scales: `min(f32(top / absMax), largest float32)`, 0 where `absMax` is 0. */
export function inverseOfMax(scheme: SchemeName, absMax: number): number {
  return absMax === 0 ? 0 : Math.min(Math.fround(topOf(scheme) / absMax), MAX_F32);
}
