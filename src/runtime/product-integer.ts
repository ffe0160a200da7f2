import { refuse, roundUp } from './context.js';
import { type Convolution, macsOf, type Product, type ProductOptions, tapsOf } from './convolution.js';
import { type Part, partsOf, runParts, shareRecord, startOf } from './parts.js';
import { type Program, type Room, roomOf, type Tensor } from './program.js';
import { type LayerRecord, LIMITS, largestDepth, largestSum } from './record.js';
import { runsOf, stagedOf, stagePlanes } from './staging.js';
import { isCoded, type LevelMatrix, levelMatrix, paddedToEight } from './weights.js';

/**
 * Bytes of input that are transformed at a time. Weights that are decoded in each call are decoded once a chunk; for others, small
 * chunks leave more of the second-level cache to the weights: 64 KiB instead of 512 took 3 % less time on the CIFAR-10 network.
 */
const CHUNK_BYTES = { packed: 512 << 10, decoded: 64 << 10 } as const;

/** 2^126: the inverse of the smallest activations stays finite. */
const LARGEST_INVERSE = 2 ** 126;

/** Puts a convolution's weights into memory and chooses its kernel. Runs once the program is finished. */
export type Make = (program: Program, layer: Convolution, options: ProductOptions) => Product;

/** Of weights that are stored as integers; undefined for others, and where their scales lie otherwise than by columns. */
export function integerProduct(...[program, layer, options]: Parameters<Make>): Product | undefined {
  const rows = tapsOf(layer) * (layer.image[2] / layer.groups);
  const matrix = isCoded(layer.weight)
    ? levelMatrix(layer.weight, rows, layer.columns, layer.factors)
    : undefined;
  if (matrix === undefined) return undefined;
  return (isWinograd(layer, matrix) ? makeWinograd : makeDirect)(program, layer, matrix, options);
}

/** {@link Make} where all weights are integers. */
export const makeInteger: Make = (...given) =>
  integerProduct(...given) ?? refuse('weights that are no levels by columns');

/** A step that runs a product. @param shape of the output, without the batch axis */
export function addProduct(
  program: Program,
  x: Tensor,
  product: Product,
  shape: readonly number[],
  ranges?: ProductOptions['ranges'],
): Tensor {
  const out = program.tensor(shape);
  const stored = product.isInteger ? ranges?.get(program.nameOf(x) ?? '') : undefined;
  const measured = x.storage.slot;
  const slot = stored ? program.fixedRange(stored) : product.isInteger ? program.rangeOf(x) : 0;
  const own = program.ownRange(out);
  program.ledger.work(product.kind, product.macs);
  program.step([x], [out], () => {
    if (stored && measured !== 0) {
      // Whoever made x measured it in passing: signs are its own, and NaN shows.
      requireFinite(program.floats[measured >> 2] as number, product.name);
      program.words[(slot >> 2) + 1] = program.words[(measured >> 2) + 1] as number;
    }
    product.run(x.storage.at, slot, out.storage.at, own);
  });
  return out;
}

/** Adds a convolution. @returns `[(planes,) rows, across, columns]` */
export const convolutionBy =
  (make: Make) =>
  (program: Program, x: Tensor, layer: Convolution, options: ProductOptions): Tensor => {
    const product = make(program, layer, options);
    const shape = [...(layer.planes ? [layer.planes.out] : []), ...layer.out, layer.columns];
    return addProduct(program, x, product, shape, options.ranges);
  };

/** Whether the transform takes clearly fewer products, edges of tiles and added channels included. */
function isWinograd(layer: Convolution, { bits, groupRows }: LevelMatrix): boolean {
  const { kernel, strides, dilations, groups, image, out } = layer;
  const isThree = [...kernel, ...strides, ...dilations].join() === '3,3,1,1,1,1';
  const channels = image[2];
  if (!isThree || layer.planes || groups !== 1 || groupRows < 9 * channels) return false;
  if (channels > largestDepth(bits, LIMITS.winograd)) return false;
  const tiles = roundUp(Math.ceil(out[1] / 2), 4) * Math.ceil(out[0] / 2);
  return 1.3 * 16 * tiles * roundUp(channels, 8) < 9 * roundUp(out[0] * out[1], 4) * channels;
}

/** A value that integers cannot be made of came to a layer. */
export class NotFiniteError extends RangeError {}

function requireFinite(most: number, name: string): number {
  if (Number.isFinite(most)) return most;
  throw new NotFiniteError(`"${name}" expected finite inputs, got ${most}`);
}

/** Activations to integers: the factor that takes them back. */
function scaleOf(program: Program, slot: number, limit: number, name: string) {
  const most = requireFinite(program.floats[slot >> 2] as number, name);
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

function makeDirect(
  program: Program,
  layer: Convolution,
  matrix: LevelMatrix,
  { weights }: ProductOptions,
): Product {
  const { image, groups, columns, strides, top, left, name, planes, weight } = layer;
  const [height, width, channels] = image;
  const [depth, count] = [channels / groups, columns / groups];
  const staged = stagedOf(layer, 2, depth);
  const { rows, across, planeBytes } = staged;
  const scaleRow = 4 * roundUp(count, 8);
  const runs = runsOf(layer, staged, matrix.groupRows, largestSum(matrix.bits), scaleRow);
  const table = program.table(runs);
  const panelBytes = runs.reduce((sum, run) => sum + 32 * ((run[1] + 1) >> 1), 0);
  const codes = weights === 'packed' ? program.once(weight, 'codes', () => program.put(matrix.codes)) : 0;
  program.room('stage', planeBytes * staged.planes);
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
    const form = `panels ${first} ${count} of ${runs.map((run) => run[1])}`;
    const decode = () => decodeAll(program, matrix.codes, fields, 'decodePanel');
    if (weights === 'decoded') fields.panels = program.once(weight, form, decode);
    return shareRecord(program, macsOf(layer) / groups / (planes?.out ?? 1), fields).map(
      (share, i): Part => ({
        ...share,
        record: program.record(() => ({ ...share.fields, scratch: program.roomAt(roomOf('panel', i)) })),
      }),
    );
  });
  const most = Math.max(...records.map(({ length }) => length));
  for (let i = 0; i < most && weights === 'packed'; i++) program.room(roomOf('panel', i), panelBytes);
  const { kernels } = program;
  const run: Product['run'] = (from, slot, to, own) => {
    const room = program.roomAt('stage');
    const { inverse, factor } = scaleOf(program, slot, LIMITS.direct, name);
    for (let g = 0; g < groups; g++) {
      const part = from + 4 * g * depth;
      const stage = (plane: number, at: number) =>
        kernels.quantize(
          ...[part + 4 * plane * height * width * channels, height, width, depth, 4 * channels],
          ...([at, rows, across, depth, top, left, inverse, LIMITS.direct] as const),
        );
      if (planes) stagePlanes(program, planes, staged, stage);
      else stage(0, room);
      for (let p = 0; p < (planes?.out ?? 1); p++) {
        const out = to + 4 * (g * count + p * layer.out[0] * layer.out[1] * columns);
        const x = room + p * (planes?.stride ?? 0) * planeBytes;
        runParts(program, 'convolve', records[g] as Part[], x, out, factor, 0, own);
      }
    }
  };
  return { name, kind: 'direct', isInteger: true, macs: macsOf(layer), run };
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
  const chunks = Math.ceil(tilesDown / Math.max(1, Math.floor(CHUNK_BYTES[weights] / rowBytes)));
  const chunk = Math.ceil(tilesDown / chunks);
  const panelBytes = 256 * depth + 32;
  const fields = {
    codes: weights === 'packed' ? program.once(layer.weight, 'codes', () => program.put(matrix.codes)) : 0,
    ...{ bits: matrix.bits, rowStride: columns, columns, channels, depth, panelBytes },
    scales: program.put(scaleRows(matrix, columns, 0, columns)),
    bias: program.put(paddedToEight(layer.bias, columns)),
    ...{ width: size[1], height: size[0], pixels: size[0] * size[1], outPitch: 4 * columns },
    ...{ tilesAcross, tilesDown, chunk, low: layer.low, high: layer.high },
    panels: 0,
  };
  const decode = () => decodeAll(program, matrix.codes, fields, 'decodeWinograd');
  if (weights === 'decoded') fields.panels = program.once(layer.weight, 'transformed', decode);
  program.room('stage', 2 * rows * across * depth);
  const count = partsOf(program.threads, macsOf(layer), tilesDown);
  const parts = Array.from({ length: count }, (_, i): Part => {
    const [from, to] = [startOf(tilesDown, count, i), startOf(tilesDown, count, i + 1)];
    const own = {
      tilesDown: to - from,
      chunk: Math.min(chunk, to - from),
      height: Math.min(size[0], 2 * to) - 2 * from,
    };
    const [panel, transformed, sums] = (['panel', 'transformed', 'sums'] as const).map((name) =>
      roomOf(name, i),
    ) as [Room, Room, Room];
    if (weights === 'packed') program.room(panel, panelBytes);
    program.room(transformed, own.chunk * rowBytes);
    program.room(sums, 16 * 32 * 32);
    const record = program.record(() => ({
      ...{ ...fields, ...own, scratch: program.roomAt(panel) },
      ...{ transformed: program.roomAt(transformed), sums: program.roomAt(sums) },
    }));
    return { record, x: 4 * from * across * depth, out: 8 * from * size[1] * columns };
  });
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
    runParts(program, 'convolveWinograd', parts, stage, to, factor, isPositive ? 1 : 0, own);
  };
  return { name, kind: 'winograd', isInteger: true, macs: macsOf(layer), run };
}
