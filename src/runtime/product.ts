import type { Program, Tensor } from './program.js';
import { type LayerRecord, LIMITS, largestDepth, largestSum } from './record.js';
import { isCoded, type LevelMatrix, levelMatrix, paddedToEight, type Weight } from './weights.js';

/** A convolution over an image `[height, width, channels]`; a dense layer is one of `[1, rows, channels]` with a 1 x 1 kernel. */
export interface Convolution {
  /** For messages. */
  readonly name: string;
  readonly image: readonly [height: number, width: number, channels: number];
  readonly kernel: readonly [tall: number, wide: number];
  readonly strides: readonly [number, number];
  readonly dilations: readonly [number, number];
  /** Zeros above and to the left. */
  readonly top: number;
  readonly left: number;
  readonly out: readonly [rows: number, across: number];
  readonly groups: number;
  readonly columns: number;
  /** `[tall, wide, channels / groups, columns]`. */
  readonly weight: Weight;
  /** Weights as float32, asked for where codes cannot be used as they are. */
  readonly values: () => Float32Array;
  /** For each column: multiplied with its weights, and added to its sum. */
  readonly factors?: Float32Array | undefined;
  readonly bias?: Float32Array | undefined;
  readonly low: number;
  readonly high: number;
}

export interface ProductOptions {
  /** Weights stay packed and are decoded in each call, or are decoded once. */
  readonly weights: 'packed' | 'decoded';
}

/** Bytes of transformed input that stay in a second-level cache. */
const CHUNK_BYTES = 512 << 10;

/** 2^126: the inverse of the smallest activations stays finite. */
const LARGEST_INVERSE = 2 ** 126;

const roundUp = (n: number, by: number) => Math.ceil(n / by) * by;

/** A product whose weights lie in memory: for tensors at any address. */
export interface Product {
  /** By which kernels, for {@link Program.summary}. */
  readonly kind: 'winograd' | 'direct' | 'float' | 'depthwise';
  /** Whether it has to know the range of its input. */
  readonly isInteger: boolean;
  /** @param slot range of the input @param own range that the outputs widen */
  run(from: number, slot: number, to: number, own: number): void;
}

/** Puts a convolution's weights into memory and chooses its kernel. Runs once the program is finished. */
export function makeConvolution(program: Program, layer: Convolution, options: ProductOptions): Product {
  const depth = layer.image[2] / layer.groups;
  const rows = layer.kernel[0] * layer.kernel[1] * depth;
  const matrix = isCoded(layer.weight)
    ? levelMatrix(layer.weight, rows, layer.columns, layer.factors)
    : undefined;
  if (matrix === undefined) return makeFloat(program, layer);
  return isWinograd(layer, matrix)
    ? makeWinograd(program, layer, matrix, options)
    : makeDirect(program, layer, matrix, options);
}

/** A step that runs a product. @param shape of the output, without the batch axis */
export function addProduct(program: Program, x: Tensor, product: Product, shape: readonly number[]): Tensor {
  const out = program.tensor(shape);
  const slot = product.isInteger ? program.rangeOf(x) : 0;
  const own = program.ownRange(out);
  program.step([x], [out], () => product.run(x.storage.at, slot, out.storage.at, own));
  return out;
}

/** Adds a convolution. @returns `[rows, across, columns]` */
export function addConvolution(
  program: Program,
  x: Tensor,
  layer: Convolution,
  options: ProductOptions,
): Tensor {
  return addProduct(program, x, makeConvolution(program, layer, options), [...layer.out, layer.columns]);
}

/** Adds a depthwise convolution: weights `[tall, wide, channels, multiplier]`, `columns = channels * multiplier`. */
export function addDepthwise(program: Program, x: Tensor, layer: Convolution): Tensor {
  return addProduct(program, x, makeDepthwise(program, layer), [...layer.out, layer.columns]);
}

/** Whether the transform takes clearly fewer products, edges of tiles and added channels included. */
function isWinograd(layer: Convolution, { bits, groupRows }: LevelMatrix): boolean {
  const { kernel, strides, dilations, groups, image, out } = layer;
  const isThree = [...kernel, ...strides, ...dilations].join() === '3,3,1,1,1,1';
  const channels = image[2];
  if (!isThree || groups !== 1 || groupRows < 9 * channels) return false;
  if (channels > largestDepth(bits, LIMITS.winograd)) return false;
  const tiles = roundUp(Math.ceil(out[1] / 2), 4) * Math.ceil(out[0] / 2);
  return 1.3 * 16 * tiles * roundUp(channels, 8) < 9 * roundUp(out[0] * out[1], 4) * channels;
}

/** Activations to integers: the factor that takes them back. */
function scaleOf(program: Program, slot: number, limit: number, name: string) {
  const most = program.floats[slot >> 2] as number;
  if (!Number.isFinite(most)) throw new RangeError(`"${name}" expected finite inputs, got ${most}`);
  const inverse = most === 0 ? 0 : Math.min(Math.fround(limit / most), LARGEST_INVERSE);
  return { inverse, factor: inverse === 0 ? 0 : 1 / inverse };
}

const isNegative = (program: Program, slot: number) => (program.words[(slot >> 2) + 1] as number) < 0;

/** Scales of all groups, each row up to a multiple of eight columns, of the columns from `first` on. */
function scaleRows(matrix: LevelMatrix, columns: number, first: number, count: number): Float32Array {
  const groups = matrix.scales.length / columns;
  const width = roundUp(count, 8);
  const rows = new Float32Array(groups * width);
  for (let g = 0; g < groups; g++)
    rows.set(matrix.scales.subarray(g * columns + first, g * columns + first + count), g * width);
  return rows;
}

/**
 * Rows of activations that lie side by side, cut where a scale ends and where a sum would leave 32 bits.
 *
 * @param bytes of an activation
 */
function runsOf(
  layer: Convolution,
  across: number,
  bytes: number,
  groupRows: number,
  most: number,
  scaleRow: number,
): [offset: number, rows: number, group: number][] {
  const [tall, wide] = layer.kernel;
  const depth = layer.image[2] / layer.groups;
  const total = tall * wide * depth;
  const isSolid = layer.dilations[1] === 1;
  const runs: [number, number, number][] = [];
  let k = 0;
  let inSum = 0;
  for (let r = 0; r < tall; r++)
    for (let q = 0; q < (isSolid ? 1 : wide); q++) {
      let left = isSolid ? wide * depth : depth;
      let offset = bytes * depth * (r * layer.dilations[0] * across + q * layer.dilations[1]);
      while (left > 0) {
        const rows = Math.min(left, groupRows - (k % groupRows), most - inSum);
        k += rows;
        inSum += rows;
        const isEnd = k === total || k % groupRows === 0 || inSum === most;
        runs.push([offset, rows, isEnd ? Math.floor((k - 1) / groupRows) * scaleRow : -1]);
        if (isEnd) inSum = 0;
        offset += bytes * rows;
        left -= rows;
      }
    }
  return runs;
}

/** Rows and pixels of the input with its border. */
function stagedSize({ out, strides, kernel, dilations }: Convolution): [rows: number, across: number] {
  const extent = (axis: 0 | 1) => (out[axis] - 1) * strides[axis] + (kernel[axis] - 1) * dilations[axis] + 1;
  return [extent(0), extent(1)];
}

function makeDirect(
  program: Program,
  layer: Convolution,
  matrix: LevelMatrix,
  { weights }: ProductOptions,
): Product {
  const { image, groups, columns, strides, top, left, name } = layer;
  const [height, width, channels] = image;
  const [depth, count] = [channels / groups, columns / groups];
  const [rows, across] = stagedSize(layer);
  const scaleRow = 4 * roundUp(count, 8);
  const runs = runsOf(layer, across, 2, matrix.groupRows, largestSum(matrix.bits), scaleRow);
  const table = program.table(runs);
  const panelBytes = runs.reduce((sum, run) => sum + 32 * ((run[1] + 1) >> 1), 0);
  const codes = weights === 'packed' ? program.put(matrix.codes) : 0;
  program.room('stage', 2 * rows * across * depth);
  program.room('panel', panelBytes);
  const records = Array.from({ length: groups }, (_, g) => {
    const first = g * count;
    const fields = {
      ...{ codes, bits: matrix.bits, first, rowStride: columns, columns: count, panelBytes, ...table },
      scales: program.put(scaleRows(matrix, columns, first, count)),
      bias: program.put(paddedToEight(layer.bias?.subarray(first, first + count), count)),
      ...{ width: layer.out[1], pixels: layer.out[0] * layer.out[1], outPitch: 4 * columns },
      ...{ strideRow: 2 * depth * across * strides[0], stridePixel: 2 * depth * strides[1] },
      ...{ low: layer.low, high: layer.high },
      panels: 0,
    };
    if (weights === 'decoded') fields.panels = decodeAll(program, matrix.codes, fields, 'decodePanel');
    return program.record(() => ({ ...fields, scratch: program.roomAt('panel') }));
  });
  const { kernels } = program;
  const run: Product['run'] = (from, slot, to, own) => {
    const stage = program.roomAt('stage');
    const { inverse, factor } = scaleOf(program, slot, LIMITS.direct, name);
    for (let g = 0; g < groups; g++) {
      const part = from + 4 * g * depth;
      kernels.quantize(
        ...[part, height, width, depth, 4 * channels],
        ...([stage, rows, across, depth, top, left, inverse, LIMITS.direct] as const),
      );
      kernels.convolve(records[g] as number, stage, to + 4 * g * count, factor, own);
    }
  };
  return { kind: 'direct', isInteger: true, run };
}

/** Decodes the panels of a layer into memory that stays. @returns its address */
function decodeAll(
  program: Program,
  codes: Uint8Array,
  fields: Partial<LayerRecord>,
  decode: 'decodePanel' | 'decodeWinograd',
): number {
  const bytes = fields.panelBytes as number;
  const columns = fields.columns as number;
  const panels = program.allocate(bytes * Math.ceil(columns / 8));
  program.decode(codes, fields, (record) => {
    for (let n = 0; n < columns; n += 8) program.kernels[decode](record, n, panels + (n >> 3) * bytes);
  });
  return panels;
}

function makeWinograd(
  program: Program,
  layer: Convolution,
  matrix: LevelMatrix,
  { weights }: ProductOptions,
): Product {
  const { image, columns, top, left, name, out: size } = layer;
  const [height, width, channels] = image;
  const depth = roundUp(channels, 8);
  const tilesDown = Math.ceil(size[0] / 2);
  const tilesAcross = roundUp(Math.ceil(size[1] / 2), 4);
  const [rows, across] = [2 * tilesDown + 2, 2 * tilesAcross + 2];
  const rowBytes = 32 * tilesAcross * depth;
  const chunks = Math.ceil(tilesDown / Math.max(1, Math.floor(CHUNK_BYTES / rowBytes)));
  const chunk = Math.ceil(tilesDown / chunks);
  const panelBytes = 256 * depth + 32;
  const fields = {
    codes: weights === 'packed' ? program.put(matrix.codes) : 0,
    ...{ bits: matrix.bits, rowStride: columns, columns, channels, depth, panelBytes },
    scales: program.put(scaleRows(matrix, columns, 0, columns)),
    bias: program.put(paddedToEight(layer.bias, columns)),
    ...{ width: size[1], height: size[0], pixels: size[0] * size[1], outPitch: 4 * columns },
    ...{ tilesAcross, tilesDown, chunk, low: layer.low, high: layer.high },
    panels: 0,
  };
  if (weights === 'decoded') fields.panels = decodeAll(program, matrix.codes, fields, 'decodeWinograd');
  program.room('stage', 2 * rows * across * depth);
  program.room('panel', panelBytes);
  program.room('transformed', chunk * rowBytes);
  program.room('sums', 16 * 32 * 32);
  const record = program.record(() => ({
    ...{ ...fields, scratch: program.roomAt('panel') },
    ...{ transformed: program.roomAt('transformed'), sums: program.roomAt('sums') },
  }));
  const canBeLarge = channels <= largestDepth(matrix.bits, LIMITS.positive);
  const { kernels } = program;
  const run: Product['run'] = (from, slot, to, own) => {
    const stage = program.roomAt('stage');
    const isPositive = canBeLarge && !isNegative(program, slot);
    const limit = isPositive ? LIMITS.positive : LIMITS.winograd;
    const { inverse, factor } = scaleOf(program, slot, limit, name);
    kernels.quantize(
      ...[from, height, width, channels, 4 * channels],
      ...([stage, rows, across, depth, top, left, inverse, limit] as const),
    );
    kernels.convolveWinograd(record, stage, to, factor, isPositive ? 1 : 0, own);
  };
  return { kind: 'winograd', isInteger: true, run };
}

function makeFloat(program: Program, layer: Convolution): Product {
  const { image, groups, columns, strides, top, left, kernel, factors } = layer;
  const [height, width, channels] = image;
  const [depth, count] = [channels / groups, columns / groups];
  const [staged, stagedAcross] = stagedSize(layer);
  const isStaged = groups > 1 || top > 0 || left > 0 || staged > height || stagedAcross > width;
  const across = isStaged ? stagedAcross : width;
  const k = kernel[0] * kernel[1] * depth;
  const runs = runsOf(layer, across, 4, k, Number.POSITIVE_INFINITY, 0);
  const table = program.table(runs);
  if (isStaged) program.room('stage', 4 * staged * across * depth);
  const values = factors ? scaledColumns(layer.values(), factors) : layer.values();
  const records = Array.from({ length: groups }, (_, g) => {
    const panels = program.allocate(4 * k * roundUp(count, 8));
    const own = values.subarray(g * count);
    const from = program.borrow(own.byteLength);
    program.write(from, own);
    program.kernels.packPanels(from, k, count, 4 * columns, 4, panels);
    const bias = program.put(paddedToEight(layer.bias?.subarray(g * count, (g + 1) * count), count));
    return program.record(() => ({
      ...{ ...table, panels, panelBytes: 32 * k, columns: count, bias, outPitch: 4 * columns },
      ...{ width: layer.out[1], pixels: layer.out[0] * layer.out[1] },
      ...{ strideRow: 4 * depth * across * strides[0], stridePixel: 4 * depth * strides[1] },
      ...{ low: layer.low, high: layer.high },
    }));
  });
  const { kernels } = program;
  const run: Product['run'] = (from, _slot, to, own) => {
    const stage = program.roomAt('stage');
    for (let g = 0; g < groups; g++) {
      const part = from + 4 * g * depth;
      if (isStaged)
        kernels.border(
          ...[part, height, width, depth, 4 * channels],
          ...([stage, staged, across, 1, top, left] as const),
        );
      kernels.convolveFloat(
        ...[records[g] as number, isStaged ? stage : part],
        ...([to + 4 * g * count, own] as const),
      );
    }
  };
  return { kind: 'float', isInteger: false, run };
}

/** A matrix whose columns are multiplied by factors. */
function scaledColumns(values: Float32Array, factors: Float32Array): Float32Array {
  return values.map((value, i) => value * (factors[i % factors.length] as number));
}

export function makeDepthwise(program: Program, layer: Convolution): Product {
  const { image, columns, strides, top, left, kernel, dilations, factors } = layer;
  const [height, width, channels] = image;
  const [staged, stagedAcross] = stagedSize(layer);
  const isStaged = columns > channels || top > 0 || left > 0 || staged > height || stagedAcross > width;
  const across = isStaged ? stagedAcross : width;
  const taps = kernel[0] * kernel[1];
  const pitch = roundUp(columns, 4);
  const values = factors ? scaledColumns(layer.values(), factors) : layer.values();
  const weights = new Float32Array(taps * pitch);
  for (let t = 0; t < taps; t++) weights.set(values.subarray(t * columns, (t + 1) * columns), t * pitch);
  const offset = (t: number) =>
    4 * columns * (Math.floor(t / kernel[1]) * dilations[0] * across + (t % kernel[1]) * dilations[1]);
  const fields = {
    ...program.table(Array.from({ length: taps }, (_, t) => [offset(t), 1, 0] as const)),
    ...{ panels: program.put(weights), panelBytes: 4 * pitch, columns, outPitch: 4 * columns },
    bias: program.put(paddedToEight(layer.bias, columns)),
    ...{ width: layer.out[1], pixels: layer.out[0] * layer.out[1], low: layer.low, high: layer.high },
    ...{ strideRow: 4 * columns * across * strides[0], stridePixel: 4 * columns * strides[1] },
  };
  const record = program.record(() => fields);
  if (isStaged) program.room('stage', 4 * staged * across * columns);
  const { kernels } = program;
  const run: Product['run'] = (from, _slot, to, own) => {
    const stage = program.roomAt('stage');
    if (isStaged)
      kernels.border(
        ...[from, height, width, channels, 4 * channels],
        ...([stage, staged, across, columns / channels, top, left] as const),
      );
    kernels.depthwise(record, isStaged ? stage : from, to, own);
  };
  return { kind: 'depthwise', isInteger: false, run };
}
