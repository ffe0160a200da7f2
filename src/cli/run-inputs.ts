import { arrayDataset, type Preprocess } from '../data/index.js';
import { BitnibbleError } from '../errors.js';
import { isJpeg } from '../formats/jpeg.js';
import type { NdArray, NumericArray } from '../formats/ndarray.js';
import { readNpy } from '../formats/npy.js';
import { openNpz } from '../formats/npz.js';
import { isPng, type PngImage, readPng, withChannels } from '../formats/png.js';
import type { ModelSource } from '../model.js';
import { openNetwork, type Shape } from '../network/index.js';
import { readFile } from '../node/files.js';
import { loadJpeg } from '../node/jpeg.js';
import { sampleShape } from '../pipeline/inputs.js';
import type { NetworkArray } from '../runtime/network.js';
import { type ScaleFlags, scalingOf } from './scaling.js';
import { UsageError } from './usage.js';

/** What a network is given. */
export interface RunInputs {
  readonly arrays: Readonly<Record<string, NetworkArray>>;
  /** Of each input, without the batch. */
  readonly shapes: Readonly<Record<string, readonly number[]>>;
  readonly samples: number;
  /** `inputs x 1/255 (by default)` */
  readonly preprocessing: string;
}

interface Wanted {
  readonly name: string;
  /** Without the batch. */
  readonly shape: Shape;
  readonly dtype: string;
}

const shapeText = (shape: Shape) => `[${shape.map((n) => n ?? 'any').join(',')}]`;

/**
 * Reads what `--input` names: an array, a PNG or JPEG image, or arrays by the names of the inputs. A sample may come alone or in a batch,
 * flattened or with axes of length 1 more or fewer.
 *
 * @throws BitnibbleError `data-mismatch`, `unknown-format`, and what the readers throw
 */
export async function readInputs(path: string, model: ModelSource, flags: ScaleFlags): Promise<RunInputs> {
  const { network } = openNetwork(model);
  const wanted = network.inputs.map(({ name, value }): Wanted => {
    const { shape, dtype } = network.values[value] as { shape: Shape | undefined; dtype: string };
    if (!shape) throw mismatch(path, model, `the model does not say what shape its input ${name} has`);
    return { name, shape: shape.slice(1), dtype };
  });
  const found = await readArrays(path, wanted, model);
  const isOne = wanted.length === 1;
  if (!isOne && [flags.scale, flags.mean, flags.std].some((flag) => flag !== undefined))
    throw new UsageError(`--scale, --mean and --std expected a model of one input, got ${wanted.length}`);
  const shapes: Record<string, readonly number[]> = {};
  const arrays: Record<string, NetworkArray> = {};
  const counts = new Map<string, number>();
  for (const want of wanted) {
    const array = found.get(want.name) as NdArray;
    const { shape, count } = fit(want, array, () => mismatch(path, model, faultOf(want, array)));
    shapes[want.name] = shape;
    counts.set(want.name, count);
    arrays[want.name] = numbersOf(array.data);
  }
  const [samples = 0] = counts.values();
  if ([...counts.values()].some((count) => count !== samples)) {
    const list = [...counts].map(([name, count]) => `${name} ${count}`).join(', ');
    throw mismatch(path, model, `expected as many samples of every input, got ${list}`);
  }
  const [first] = wanted as [Wanted];
  const own = found.get(first.name) as NdArray;
  const { preprocess, preprocessing } = scalingOf(
    flags,
    model,
    isOne && own.dtype === 'uint8'
      ? () => ({ name: path, dtype: 'uint8', range: rangeOf(own.data) })
      : undefined,
  );
  if (isOne)
    arrays[first.name] = preprocessed(
      ...([arrays[first.name] as NetworkArray, shapes[first.name] as number[]] as const),
      ...([samples, preprocess, path] as const),
    );
  return { arrays, shapes, samples, preprocessing };
}

function rangeOf(data: NumericArray): [number, number] {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const item of data) {
    const value = Number(item);
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

function mismatch(path: string, { file }: ModelSource, fault: string): BitnibbleError {
  return new BitnibbleError('data-mismatch', `${file} and ${path}: ${fault}`);
}

const faultOf = ({ name, shape }: Wanted, array: NdArray) =>
  `the model expects ${shapeText(shape)} or a batch of these for ${name}, the file has ${shapeText(array.shape)}`;

/** How an array is a sample or a batch of them. */
function fit(
  { shape: own }: Wanted,
  { shape, data }: NdArray,
  fault: () => BitnibbleError,
): { shape: readonly number[]; count: number } {
  const wanted = [null, ...own];
  const rest = shape.slice(1);
  const isBatch = rest.length === own.length && own.every((n, i) => n === null || n === rest[i]);
  if (isBatch && shape.length > 0) return { shape: rest, count: shape[0] as number };
  const alone = data.length > 0 ? sampleShape(wanted, shape) : undefined;
  if (alone) return { shape: alone, count: 1 };
  const batch = shape.length > 1 && data.length > 0 ? sampleShape(wanted, rest) : undefined;
  if (batch) return { shape: batch, count: shape[0] as number };
  throw fault();
}

/** Numbers as a network takes them; 64-bit integers as float64. */
function numbersOf(data: NumericArray): NetworkArray {
  const isTaken =
    data instanceof Float32Array ||
    data instanceof Float64Array ||
    data instanceof Uint8Array ||
    data instanceof Int8Array ||
    data instanceof Int32Array;
  return isTaken ? data : Float64Array.from(data as ArrayLike<number | bigint>, Number);
}

function preprocessed(
  array: NetworkArray,
  shape: readonly number[],
  samples: number,
  preprocess: Preprocess,
  name: string,
): NetworkArray {
  const isLeft = preprocess.scale === 1 && preprocess.mean === undefined && preprocess.std === undefined;
  if (isLeft || samples === 0) return array;
  const values = array instanceof Uint8Array ? array : Float32Array.from(array);
  const dataset = arrayDataset({ name, inputShape: shape, values });
  const [batch] = dataset.batches({ batchSize: samples, preprocess });
  return (batch as { x: Float32Array }).x;
}

async function readArrays(
  path: string,
  wanted: readonly Wanted[],
  model: ModelSource,
): Promise<ReadonlyMap<string, NdArray>> {
  const bytes = readFile(path);
  const [first] = wanted as [Wanted];
  const one = (array: NdArray) => {
    if (wanted.length === 1) return new Map([[first.name, array]]);
    const names = wanted.map(({ name }) => name).join(', ');
    throw mismatch(path, model, `expected an .npz file with an array for each input: ${names}`);
  };
  if (isPng(bytes)) return one(imageArray(readPng(bytes, path), first, path, model));
  if (isJpeg(bytes)) return one(imageArray((await loadJpeg(path)).read(bytes, path), first, path, model));
  if (bytes[0] === 0x93) return one(readNpy(bytes, { name: path }));
  if (bytes[0] !== 0x50 || bytes[1] !== 0x4b)
    throw new BitnibbleError(
      'unknown-format',
      `${path}: expected an .npy or .npz file or a PNG or JPEG image`,
    );
  const archive = openNpz(bytes, { name: path });
  const [only] = archive.names;
  if (wanted.length === 1 && archive.names.length === 1 && only !== undefined) return one(archive.read(only));
  return new Map(wanted.map(({ name }) => [name, archive.read(name)] as const));
}

/** An image as the network has its axes: channels last, first, or none. */
function imageArray(image: PngImage, { shape }: Wanted, path: string, model: ModelSource): NdArray {
  const { width, height } = image;
  const isFirst =
    shape.length === 3 && (shape[0] === 1 || shape[0] === 3) && shape[2] !== 1 && shape[2] !== 3;
  const channels = shape.length === 2 ? 1 : isFirst ? shape[0] : shape.length === 3 ? shape[2] : undefined;
  if (channels !== 1 && channels !== 3)
    throw mismatch(path, model, `the model expects ${shapeText(shape)}, which is no grey or coloured image`);
  const [tall, wide] = isFirst ? shape.slice(1) : shape;
  if ((tall ?? height) !== height || (wide ?? width) !== width)
    throw mismatch(
      path,
      model,
      `the model expects ${wide ?? 'any'} x ${tall ?? 'any'} pixels, the image has ${width} x ${height}: resize it first`,
    );
  const pixels = withChannels(image, channels, path);
  if (!isFirst || channels === 1)
    return {
      dtype: 'uint8',
      shape: shape.length === 2 ? [height, width] : isFirst ? [1, height, width] : [height, width, channels],
      data: pixels,
    };
  const planes = new Uint8Array(pixels.length);
  const area = width * height;
  for (let i = 0; i < pixels.length; i++) planes[(i % 3) * area + Math.floor(i / 3)] = pixels[i] as number;
  return { dtype: 'uint8', shape: [3, height, width], data: planes };
}
