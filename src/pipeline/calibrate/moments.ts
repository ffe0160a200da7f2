import type { LinearAlgebra } from '../../kernels/linalg-types.js';
import type { Moments } from '../../schemes/fit/calibrated.js';
import type { Tensor, Tensor5D, TensorFlow } from '../../tfjs/types.js';
import { type Linear, sample } from './linear.js';

/** Rows of patches that are held at once. */
const TILE_ROWS = 2048;

/** Positions of a batch that are summed up. */
interface Chosen {
  /** Where the patch of each begins: a place among those of all images. */
  readonly corners: Int32Array;
  /** Where its outputs are, likewise. */
  readonly places: Int32Array;
}

/** What is added to the moments of a map: a batch of images, and the outputs wanted for them. */
export interface Batch {
  /** Image in the quantized network. */
  readonly x: Tensor5D;
  /** Outputs in the float network. */
  readonly t: Tensor5D;
  /** What is taken off `t`, a number for each output. */
  readonly offset?: Tensor;
  /** `[batch, width]`, 0 where a position does not count. */
  readonly mask?: Tensor;
}

/**
 * Adds a batch to the moments of a map: `perImage` random positions of every image.
 *
 * @param moments one for each group; of `gram` the upper triangle, which {@link mirror} completes
 */
export async function addMoments(
  tf: TensorFlow,
  algebra: LinearAlgebra,
  linear: Linear,
  batch: Batch,
  moments: readonly Moments[],
  perImage: number,
  random: (n: number) => number,
): Promise<void> {
  const counted = (await batch.mask?.data()) as Float32Array | undefined;
  const chosen = choose(linear, batch, perImage, random, counted);
  if (linear.groups === 1 && tf.getBackend() === 'tensorflow')
    addNatively(tf, linear, batch, chosen, moments[0] as Moments);
  else await addByKernels(algebra, linear, batch, chosen, moments);
}

function choose(
  { strides }: Linear,
  { x, t }: Batch,
  perImage: number,
  random: (n: number) => number,
  counted: Float32Array | undefined,
): Chosen {
  const [images, depth, height, width] = x.shape;
  const [, outDepth, outHeight, outWidth] = t.shape;
  const positions = outDepth * outHeight * outWidth;
  const corners: number[] = [];
  const places: number[] = [];
  const all = Array.from({ length: positions }, (_, i) => i);
  for (let image = 0; image < images; image++) {
    const open = counted ? all.filter((i) => counted[image * positions + i] !== 0) : all;
    for (const index of sample(open.length, perImage, random)) {
      const position = open[index] as number;
      const z = Math.floor(position / (outWidth * outHeight)) * strides[0];
      const y = (Math.floor(position / outWidth) % outHeight) * strides[1];
      const left = (position % outWidth) * strides[2];
      corners.push(((image * depth + z) * height + y) * width + left);
      places.push(image * positions + position);
    }
  }
  return { corners: Int32Array.from(corners), places: Int32Array.from(places) };
}

/** How far from its corner each tap of a patch lies, in places. */
const reachOf = ({ taps }: Linear, [, , height, width]: Tensor5D['shape']): number[] =>
  taps.map(([z, y, left]) => (z * height + y) * width + left);

/** Columns of `X` whose products with all behind them are one call. */
const BLOCK = 256;

/**
 * By TensorFlow.js's native library, which gathers patches and multiplies them. Of `X'X` blocks on the diagonal and right of it:
 *
 *     X_0'X_0  X_0'X_1  X_0'X_2          each row of blocks is one product
 *              X_1'X_1  X_1'X_2
 *                       X_2'X_2
 */
function addNatively(
  tf: TensorFlow,
  linear: Linear,
  { x, t, offset }: Batch,
  { corners, places }: Chosen,
  own: Moments,
): void {
  const { k, n, gram, cross, sumX, sumT, sumTT } = own;
  const reach = reachOf(linear, x.shape);
  const channels = x.shape[4];
  for (let from = 0; from < corners.length; from += TILE_ROWS) {
    const rows = Math.min(TILE_ROWS, corners.length - from);
    const indices = new Int32Array(rows * reach.length);
    for (let row = 0, at = 0; row < rows; row++)
      for (const far of reach) indices[at++] = (corners[from + row] as number) + far;
    const at = places.subarray(from, from + rows);
    tf.tidy(() => {
      const gathered = tf.gather(tf.reshape(x, [-1, channels]), tf.tensor1d(indices, 'int32'));
      const patches = tf.reshape(gathered, [rows, k]);
      const wanted = tf.gather(tf.reshape(t, [-1, n]), tf.tensor1d(at, 'int32'));
      const targets = offset ? tf.sub(wanted, offset) : wanted;
      for (let left = 0; left < k; left += BLOCK) {
        const block = k > BLOCK ? tf.slice(patches, [0, left], [rows, Math.min(BLOCK, k - left)]) : patches;
        const rest = left > 0 ? tf.slice(patches, [0, left], [rows, k - left]) : patches;
        const product = tf.matMul(block, rest, true);
        const sums = product.dataSync();
        const width = k - left;
        for (let i = 0; i < (block.shape[1] as number); i++) {
          const to = (left + i) * (k + 1);
          for (let j = i, s = i * width + i; j < width; j++, s++)
            gram[to + j - i] = (gram[to + j - i] as number) + (sums[s] as number);
        }
        tf.dispose(block === patches ? [product] : [product, block]);
        if (rest !== patches) rest.dispose();
      }
      add(cross, tf.matMul(patches, targets, true));
      add(sumX, tf.sum(patches, 0));
      add(sumT, tf.sum(targets, 0));
      add(sumTT, tf.sum(tf.square(targets), 0));
    });
    own.rows += rows;
  }
}

function add(total: Float64Array, tensor: Tensor): void {
  const sums = tensor.dataSync();
  for (let i = 0; i < sums.length; i++) total[i] = (total[i] as number) + (sums[i] as number);
}

/** Below the diagonal of `X'X` what is above it. */
export function mirror({ gram, k }: Moments): void {
  for (let i = 1; i < k; i++) for (let j = 0; j < i; j++) gram[i * k + j] = gram[j * k + i] as number;
}

/** Patches `[rows, taps * channels]` and outputs `[rows, groups * n]`. */
interface Tile {
  readonly patches: Float32Array;
  readonly wanted: Float32Array;
}

async function addByKernels(
  algebra: LinearAlgebra,
  linear: Linear,
  { x, t, offset }: Batch,
  { corners, places }: Chosen,
  moments: readonly Moments[],
): Promise<void> {
  const channels = x.shape[4];
  const width = linear.groups * linear.n;
  const inputs = (await x.data()) as Float32Array;
  const targets = (await t.data()) as Float32Array;
  const less = (await offset?.data()) as Float32Array | undefined;
  const most = Math.min(TILE_ROWS, corners.length);
  const deep = linear.taps.length * channels;
  const tile = { patches: new Float32Array(most * deep), wanted: new Float32Array(most * width) };
  const reach = reachOf(linear, x.shape).map((far) => far * channels);
  for (let from = 0; from < corners.length; from += most) {
    const rows = Math.min(most, corners.length - from);
    for (let row = 0, at = 0, to = 0; row < rows; row++) {
      const corner = (corners[from + row] as number) * channels;
      for (const far of reach)
        for (let c = corner + far; c < corner + far + channels; c++, at++)
          tile.patches[at] = inputs[c] as number;
      const place = (places[from + row] as number) * width;
      for (let c = 0; c < width; c++, to++)
        tile.wanted[to] = (targets[place + c] as number) - (less ? (less[c] as number) : 0);
    }
    flush(algebra, linear, tile, rows, channels, moments);
  }
}

function flush(
  algebra: LinearAlgebra,
  { groups, taps, k, n }: Linear,
  { patches, wanted }: Tile,
  rows: number,
  channels: number,
  moments: readonly Moments[],
): void {
  if (groups === 1) {
    addRows(
      algebra,
      moments[0] as Moments,
      patches.subarray(0, rows * k),
      wanted.subarray(0, rows * n),
      rows,
    );
    return;
  }
  const x = new Float32Array(rows * k);
  const t = new Float32Array(rows * n);
  const part = channels / groups;
  for (const [group, own] of moments.entries()) {
    for (let row = 0; row < rows; row++) {
      for (let tap = 0; tap < taps.length; tap++) {
        const from = (row * taps.length + tap) * channels + group * part;
        for (let i = 0; i < part; i++) x[row * k + tap * part + i] = patches[from + i] as number;
      }
      for (let c = 0; c < n; c++) t[row * n + c] = wanted[(row * groups + group) * n + c] as number;
    }
    addRows(algebra, own, x, t, rows);
  }
}

function addRows(algebra: LinearAlgebra, own: Moments, x: Float32Array, t: Float32Array, rows: number): void {
  const { k, n, gram, cross, sumX, sumT, sumTT } = own;
  own.rows += rows;
  algebra.addGram(gram, x, rows, k);
  algebra.addCross(cross, x, t, rows, k, n);
  for (let row = 0, at = 0; row < rows; row++)
    for (let i = 0; i < k; i++, at++) sumX[i] = (sumX[i] as number) + (x[at] as number);
  for (let row = 0, at = 0; row < rows; row++)
    for (let c = 0; c < n; c++, at++) {
      const value = t[at] as number;
      sumT[c] = (sumT[c] as number) + value;
      sumTT[c] = (sumTT[c] as number) + value * value;
    }
}
