// What is taken for a fault of an HDF5 file, or for reason to refuse it.
import { BitnibbleError } from '../errors.js';
import { checkName } from '../formats/names.js';
import { sizeOf } from '../shape.js';
import type { Filter } from './h5-library.js';

/** Largest dataset that is read as a whole: above it a size is taken for a fault of the file. */
export const MAX_TENSOR_BYTES = 8 * 2 ** 30;
/** Deflate packs no tighter; a chunk that is not in the file at all would. */
const MAX_RATIO = 1032;
const SMALL_TENSOR_BYTES = 64 * 2 ** 20;
/** Read in pieces of this many bytes: HDF5's heap stops at 2 GiB, and a small one is soon reused. */
export const BOX_BYTES = 4 * 2 ** 20;
/** Filters compiled into the library: deflate, shuffle, fletcher32, szip, nbit, scale-offset. */
export const FILTERS = new Set([1, 2, 3, 4, 5, 6]);
/** Filters that may store other values than they are given: nbit and scale-offset. */
const LOSSY_FILTERS = new Set([5, 6]);
/** Objects that are looked at in one file; models of a thousand layers have 4,000. */
export const MAX_OBJECTS = 10_000;
/**
 * The squares of their depths together. HDF5 looks at every beginning of a path from the root on, so an object takes
 * about 9 microseconds times the square of its depth.
 */
export const MAX_STEPS = 160_000;

/** Names in a group. @throws BitnibbleError `corrupt-file`, `too-large` */
export function checkNames(names: string[], file: string, group: string): string[] {
  if (names.length > MAX_OBJECTS) {
    const fault = `holds ${names.length} groups and datasets, expected at most ${MAX_OBJECTS}`;
    throw new BitnibbleError('corrupt-file', `${file}: ${group} ${fault}`);
  }
  for (const name of names) checkName(name, `${file}: an object of ${group}`);
  return names;
}

/** @throws BitnibbleError `unsupported-filter` for a filter that may store other values than it is given */
export function requireLossless(filters: readonly Filter[], file: string, path: string): void {
  const lossy = filters.find(({ id }) => LOSSY_FILTERS.has(id));
  if (!lossy) return;
  throw new BitnibbleError(
    'unsupported-filter',
    `${file}: dataset ${path} is stored through HDF5 filter ${lossy.id} (${lossy.name}), which may change the values that are written to it; rewrite it with gzip or none`,
  );
}

/** @throws BitnibbleError `unsupported-filter` for a filter that cannot be decoded */
export function requireKnownFilters(filters: readonly Filter[], what: string): void {
  const unknown = filters.find(({ id }) => !FILTERS.has(id));
  if (!unknown) return;
  throw new BitnibbleError(
    'unsupported-filter',
    `${what} is compressed with HDF5 filter ${unknown.id} (${unknown.name}), which cannot be decoded; rewrite it with gzip or none`,
  );
}

/** One spelling of a path, as HDF5 takes it: `a//./b/` is `/a/b`. */
export function plainPath(path: string): string {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  return `/${parts.join('/')}`;
}

/** Most bytes that datasets of a file of `size` bytes can hold. */
export const mostBytes = (size: number): number => Math.max(SMALL_TENSOR_BYTES, size * MAX_RATIO);

/** What `checkClaims` of an HDF5 file does. @throws BitnibbleError `corrupt-file` */
export function checkClaims(
  datasets: Iterable<{ readonly path: string; readonly bytes: number }>,
  size: number,
  file: string,
): void {
  const most = mostBytes(size);
  let total = 0;
  for (const { path, bytes } of datasets) {
    total += bytes;
    if (total <= most) continue;
    const what = total === bytes ? 'claims' : 'and those before it claim';
    throw new BitnibbleError(
      'corrupt-file',
      `${file}: dataset ${path} ${what} ${total} bytes, expected at most ${most}`,
    );
  }
}

/** Whether values of `bytes` bytes fit into a dataset from element `from` on. @throws BitnibbleError `shape-mismatch` */
export function checkFits(
  file: string,
  path: string,
  shape: readonly number[],
  size: number,
  bytes: number,
  from: number,
): void {
  const to = from + bytes / size;
  if (Number.isInteger(to) && to <= sizeOf(shape)) return;
  throw new BitnibbleError(
    'shape-mismatch',
    `${file}: dataset ${path} holds [${shape}] of ${size}-byte numbers, expected ${from * size + bytes} bytes`,
  );
}
