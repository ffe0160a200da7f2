import { expected } from '../errors.js';
import type { Kernels } from '../kernels/types.js';
import type { BlockLayout } from '../shape.js';
import { SCHEMES } from './decode.js';
import { GRIDS } from './grids.js';
import { ENCODERS } from './quantize.js';
import type { SchemeName } from './types.js';

/** Levels at a time: whole bytes of any code. */
const TILE = 1 << 16;

/** One block of scale 1: values are the grid itself. */
function oneBlock(size: number): BlockLayout {
  return { outer: 1, channels: 1, inner: size, groupRows: Math.max(1, size) };
}

const ONE = Float32Array.of(1);

/**
 * Codes of given levels: binary `b = level`, int2 `q = level - 2`, int4 `q = level - 8`, packed as the kernels pack.
 *
 * @param levels one for each weight, C order, each in [0, `GRIDS[scheme].levels`)
 * @returns `ceil(levels.length * bits / 8)` bytes, padding bits zero
 * @throws TypeError, RangeError for levels that the scheme does not have
 */
export function packLevels(kernels: Kernels, scheme: SchemeName, levels: Uint8Array): Uint8Array {
  if (!(levels instanceof Uint8Array)) throw new TypeError(expected('levels', 'a Uint8Array', typeof levels));
  const { offset, step, levels: count } = GRIDS[scheme];
  const wrong = levels.findIndex((level) => level >= count);
  if (wrong >= 0) {
    const what = `levels below ${count} for scheme ${scheme}`;
    throw new RangeError(expected('levels', what, levels[wrong], `index ${wrong}`));
  }
  const perByte = 8 / SCHEMES[scheme].bits;
  const codes = new Uint8Array(Math.ceil(levels.length / perByte));
  for (let from = 0; from < levels.length; from += TILE) {
    const values = Float32Array.from(levels.subarray(from, from + TILE), (level) => offset + step * level);
    codes.set(ENCODERS[scheme].pack(kernels, values, ONE, oneBlock(values.length)), from / perByte);
  }
  return codes;
}

/**
 * The levels of packed codes: the inverse of {@link packLevels}.
 *
 * @param count weights
 * @throws TypeError, RangeError for codes of another length
 */
export function unpackLevels(
  kernels: Kernels,
  scheme: SchemeName,
  codes: Uint8Array,
  count: number,
): Uint8Array {
  if (!(codes instanceof Uint8Array)) throw new TypeError(expected('codes', 'a Uint8Array', typeof codes));
  const { offset, step } = GRIDS[scheme];
  const perByte = 8 / SCHEMES[scheme].bits;
  if (codes.length !== Math.ceil(count / perByte)) {
    throw new RangeError(expected('codes', `${Math.ceil(count / perByte)} bytes`, codes.length));
  }
  const levels = new Uint8Array(count);
  const values = new Float32Array(Math.min(TILE, count));
  for (let from = 0; from < count; from += TILE) {
    const to = Math.min(count, from + TILE);
    const piece = codes.subarray(from / perByte, Math.ceil(to / perByte));
    const { unpackInto } = SCHEMES[scheme];
    const tile = unpackInto(kernels, piece, ONE, oneBlock(to - from), values.subarray(0, to - from));
    for (let i = from; i < to; i++) levels[i] = ((tile[i - from] as number) - offset) / step;
  }
  return levels;
}
