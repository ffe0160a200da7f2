/** Fields of a record `Layer` of `assembly/runtime/record.ts`, 32 bits each, in its order. */
export const FIELDS = [
  ...(['codes', 'panels', 'panelBytes', 'bits', 'first', 'rowStride', 'columns', 'table', 'runs'] as const),
  ...(['scales', 'bias', 'width', 'pixels', 'strideRow', 'stridePixel', 'outPitch', 'low', 'high'] as const),
  ...(['scratch', 'channels', 'depth', 'height', 'tilesAcross', 'tilesDown', 'chunk'] as const),
  ...(['transformed', 'sums'] as const),
] as const;

export type Field = (typeof FIELDS)[number];

/** What a product kernel is told. Addresses and bytes; `low` and `high` are float32, all else integers. */
export type LayerRecord = Readonly<Record<Field, number>>;

export const RECORD_BYTES = 4 * FIELDS.length;

/** Bytes of an entry of a table of runs: offset of the activations, rows, offset of the scales or -1. */
export const RUN_BYTES = 12;

const isFloat = (field: Field) => field === 'low' || field === 'high';

/** Writes a record; fields that are not named are 0, bounds infinite. */
export function writeRecord(buffer: ArrayBufferLike, at: number, record: Partial<LayerRecord>): void {
  const view = new DataView(buffer, at, RECORD_BYTES);
  FIELDS.forEach((field, i) => {
    const value = record[field];
    if (!isFloat(field)) view.setInt32(4 * i, value ?? 0, true);
    else view.setFloat32(4 * i, value ?? (field === 'low' ? -Infinity : Infinity), true);
  });
}

export function readRecord(buffer: ArrayBufferLike, at: number): LayerRecord {
  const view = new DataView(buffer, at, RECORD_BYTES);
  return Object.fromEntries(
    FIELDS.map((field, i) => [
      field,
      isFloat(field) ? view.getFloat32(4 * i, true) : view.getInt32(4 * i, true),
    ]),
  ) as Record<Field, number>;
}

/** Functions of `activate` that plain networks have, by the number that the kernel takes. */
export const PLAIN_ACTIVATIONS = ['clamp', 'relu', 'elu', 'sigmoid', 'tanh', 'silu', 'linear'] as const;

/** Ways of `combine`, likewise. */
export const COMBINATIONS = [
  ...(['add', 'subtract', 'multiply', 'divide', 'maximum', 'minimum', 'prelu'] as const),
  ...(['greater', 'greater_equal', 'equal', 'not_equal', 'keep'] as const),
] as const;

export type CombinationKind = (typeof COMBINATIONS)[number];

/** Largest magnitude of a level. */
export const LARGEST_LEVEL: Readonly<Record<number, number>> = { 1: 1, 2: 3, 4: 8 };

/** Largest activations: of direct products, of Winograd's, and of Winograd's where none is negative. */
export const LIMITS = { direct: 32767, winograd: 8191, positive: 16383 } as const;

/** Products of one sum of 32 bits at most, with activations up to `LIMITS.direct`. */
export const largestSum = (bits: number): number =>
  Math.floor((2 ** 31 - 1) / (LIMITS.direct * (LARGEST_LEVEL[bits] as number)));

/** Input channels that Winograd's sums, four times the direct ones, have room for, with activations up to `limit`. */
export const largestDepth = (bits: number, limit: number): number =>
  Math.floor((2 ** 31 - 1) / (4 * 9 * limit * (LARGEST_LEVEL[bits] as number)));
