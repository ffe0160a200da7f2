import type { JsonObject } from '../../model.js';
import { sizeOf } from '../../shape.js';
import type { CodedArray, StoredArray } from './coded-array.js';
import { einsumKernel, einsumShape, scaleStrides, withOneUnknown } from './einsum.js';

/** What a layer is to Keras's quantization; `attention`: an EinsumDense inside of an attention layer. */
export type LayerKind = 'dense' | 'einsum' | 'attention' | 'embedding' | 'unknown';

/** What is known of a layer whose weights are codes. */
export interface QuantizedLayer {
  readonly kind: LayerKind;
  /** `int8`, `int4/128`, ... as the dtype policy has it; undefined where no configuration states it. */
  readonly mode: string | undefined;
  /** Of the layer, of the attention layer around it; empty where it is not known. */
  readonly config: JsonObject;
  /** The shape it was built with. */
  readonly input: unknown;
  /** `query`, `key`, `value`, `attention_output` of an attention layer. */
  readonly part: string;
  /** Heads and their features, where weights around it tell them. */
  readonly heads?: { readonly query?: readonly number[]; readonly value?: readonly number[] };
  /** Its arrays by name. */
  readonly arrays: ReadonlyMap<string, StoredArray>;
}

/** Why codes cannot be turned into values: something is not in the file, or what is there contradicts itself. */
export interface Obstacle {
  readonly kind: 'unknown' | 'lost' | 'wrong';
  readonly reason: string;
}

export type Decoded = CodedArray | Obstacle;

export const isObstacle = (decoded: Decoded): decoded is Obstacle => 'reason' in decoded;

const unknown = (reason: string): Obstacle => ({ kind: 'unknown', reason });
const wrong = (reason: string): Obstacle => ({ kind: 'wrong', reason });

const half = (length: number) => Math.ceil(length / 2);
const same = (a: readonly number[] | undefined, b: readonly number[]) => String(a) === String(b);

/**
 * The values of a kernel, an embedding's table or its reverse, as Keras 3.15 computes with them:
 *
 * | mode | value | codes | scale |
 * |---|---|---|---|
 * | int8 | `q / scale` | as the kernel | one for each output, each token |
 * | int4, by channel | `q / scale` | `[rows, columns / 2]` | the same |
 * | int4, by blocks | `(q - zero) scale` | the same | `[groups, columns]`; of embeddings `[tokens, groups]` |
 * | gptq | `(q - zero) scale` | `[columns / 2, rows]`, unsigned; not packed where bits are not 4 | `[columns, groups]` |
 * | awq | `(q - zero) scale / awq_scales` | the same | the same |
 *
 * A kernel of an EinsumDense is a matrix of the same order but for int8. Source: `_int8_call`, `_int4_call`, `_gptq_call`,
 * `_awq_call` of `keras/src/layers/core`.
 */
export function decodeArray(layer: QuantizedLayer, base: string): Decoded {
  const codes = layer.arrays.get(base) as StoredArray;
  const scale = layer.arrays.get(`${base}_scale`);
  if (!scale) return wrong(`${base} has no ${base}_scale`);
  if (layer.kind === 'unknown') return unknown('the class of its layer is not known');
  if (codes.dtype === 'U8') return transposed(layer, codes, scale);
  const [mode] = layer.mode?.split('/') ?? [];
  const index = layer.arrays.get('g_idx');
  const zero = layer.arrays.get(`${base}_zero`);
  if (index && zero) return grouped(layer, base, codes, { scale, zero, index });
  if (layer.kind === 'embedding') return embedding(layer, base, codes, scale, mode);
  if (mode !== 'int8' && mode !== 'int4' && mode !== undefined)
    return wrong(`its weights are not those of the mode ${mode}`);
  const columns = sizeOf(scale.shape);
  const isInt8 = mode === undefined ? looksInt8(layer, codes, scale) : mode === 'int8';
  if (isInt8 === undefined) return unknown('the file does not say whether its codes have 8 or 4 bits');
  if (isInt8) return int8(layer, codes, scale);
  const [rows = 0, packed] = codes.shape;
  if (codes.shape.length !== 2 || packed !== half(columns) || scale.shape.length !== 1)
    return wrong(`codes [${codes.shape}] do not go with scales [${scale.shape}]`);
  const shape = kernelShape(layer, rows, columns);
  if (!shape) return unknown('the shape of its kernel cannot be told');
  const place = { grid: [rows, columns], strides: [0, 1] };
  return { shape, rows, columns, codes, layout: 'columns', scale: { ...scale, ...place }, divides: true };
}

/** Whether codes without a mode are of 8 bits; undefined where both would do. */
function looksInt8({ kind }: QuantizedLayer, codes: StoredArray, scale: StoredArray): boolean | undefined {
  // Scales of an EinsumDense have an axis for each of the output's; those of 4 bits are a vector.
  if (kind !== 'dense') return scale.shape.length > 1;
  const [units = 0] = scale.shape;
  const last = codes.shape.at(-1);
  if (units === last && half(units) === last) return undefined;
  return units === last;
}

function int8(layer: QuantizedLayer, codes: StoredArray, scale: StoredArray): Decoded {
  const { shape } = codes;
  const columns = shape.at(-1) ?? 1;
  const rows = sizeOf(shape) / columns;
  const strides = int8Strides(layer, shape, scale.shape);
  if (!strides) return unknown('its equation is not in the file, and its shapes do not tell it');
  const largest = strides.reduce((sum, stride, axis) => sum + stride * ((shape[axis] as number) - 1), 0);
  if (largest !== sizeOf(scale.shape) - 1)
    return wrong(`codes [${shape}] do not go with scales [${scale.shape}]`);
  return {
    ...{ shape, rows, columns, codes, layout: 'plain' as const, divides: true },
    scale: { ...scale, grid: shape, strides },
  };
}

function int8Strides(
  { kind, part, config }: QuantizedLayer,
  shape: readonly number[],
  scale: readonly number[],
): number[] | undefined {
  const ofLast = (count: number) =>
    scaleStrides({ letters: '', places: shape.map((_, i) => i - (shape.length - count)) }, shape);
  if (kind === 'dense') return ofLast(1);
  if (kind === 'attention') return ofLast(shape.length - (part === 'attention_output' ? 2 : 1));
  if (config.equation !== undefined) {
    const kernel = einsumKernel(config.equation);
    return kernel?.letters.length === shape.length ? scaleStrides(kernel, shape) : undefined;
  }
  const places = onlyPlaces(
    shape,
    scale.filter((length) => length > 1),
  );
  return places && scaleStrides({ letters: '', places }, shape);
}

/** Which axes of a kernel lengths are of, if there is one way only; the others have a length over 1 too, or it is no way. */
function onlyPlaces(shape: readonly number[], lengths: readonly number[]): number[] | undefined {
  if (new Set(shape).size !== shape.length || shape.includes(1)) return undefined;
  const places = shape.map((length) => lengths.indexOf(length));
  return lengths.every((length) => shape.includes(length)) ? places : undefined;
}

function grouped(
  layer: QuantizedLayer,
  base: string,
  codes: StoredArray,
  { scale, zero, index }: Readonly<Record<'scale' | 'zero' | 'index', StoredArray>>,
): Decoded {
  const [first = 0, second = 0] = codes.shape;
  const fault = wrong(
    `codes [${codes.shape}], scales [${scale.shape}], zeros [${zero.shape}] and groups [${index.shape}] do not go together`,
  );
  if (codes.shape.length !== 2 || scale.shape.length !== 2 || !same(zero.shape, scale.shape)) return fault;
  const [a = 0, b = 0] = scale.shape;
  const [length = 0] = index.shape;
  const coded = { codes, zero, divides: false };
  if (base === 'embeddings') {
    const groups = { index, along: 'columns' as const, groupStride: 1, otherStride: b, count: b };
    if (a !== first || half(length) !== second) return fault;
    const shape = [first, length];
    return { ...coded, shape, rows: first, columns: length, layout: 'columns', scale: { ...scale, groups } };
  }
  const groups = { index, along: 'rows' as const, groupStride: b, otherStride: 1, count: a };
  if (base === 'reverse_embeddings') {
    if (b !== second || half(length) !== first) return fault;
    const shape = [length, second];
    return { ...coded, shape, rows: length, columns: second, layout: 'rows', scale: { ...scale, groups } };
  }
  if (length !== first || half(b) !== second) return fault;
  const shape = kernelShape(layer, first, b);
  if (!shape) return unknown('the shape of its kernel cannot be told');
  return { ...coded, shape, rows: first, columns: b, layout: 'columns', scale: { ...scale, groups } };
}

/** An embedding's table or its reverse, with a scale for each token. */
function embedding(
  { config }: QuantizedLayer,
  base: string,
  codes: StoredArray,
  scale: StoredArray,
  mode: string | undefined,
): Decoded {
  const isReverse = base === 'reverse_embeddings';
  const [first = 0, second = 0] = codes.shape;
  const tokens = isReverse ? second : first;
  const stored = isReverse ? first : second;
  const features = config.output_dim;
  if (codes.shape.length !== 2 || !same(scale.shape, [tokens]))
    return wrong(`codes [${codes.shape}] do not go with scales [${scale.shape}]`);
  if (mode !== 'int8' && mode !== 'int4')
    return unknown('the file does not say whether its codes have 8 or 4 bits');
  if (mode === 'int4' && typeof features !== 'number')
    return unknown('the number of its features is not in the file');
  const length = mode === 'int4' ? (features as number) : stored;
  if (mode === 'int4' && half(length) !== stored)
    return wrong(`codes [${codes.shape}] do not go with ${length} features`);
  const shape = isReverse ? [length, tokens] : [tokens, length];
  const [rows, columns] = shape as [number, number];
  const packed = isReverse ? 'rows' : 'columns';
  const place = { grid: shape, strides: isReverse ? [0, 1] : [1, 0] };
  return {
    ...{ shape, rows, columns, codes, divides: true },
    layout: mode === 'int4' ? packed : 'plain',
    scale: { ...scale, ...place },
  };
}

/** Codes of GPTQ and AWQ. */
function transposed(layer: QuantizedLayer, codes: StoredArray, scale: StoredArray): Decoded {
  const { arrays, config } = layer;
  const [mode, bits] = layer.mode?.split('/') ?? [];
  const rowScales = arrays.get('awq_scales');
  const index = arrays.get('g_idx');
  const stored = arrays.get('kernel_zero');
  const [packed = 0, rows = 0] = codes.shape;
  const [columns = 0, count = 0] = scale.shape;
  if (codes.shape.length !== 2 || scale.shape.length !== 2 || !index || index.shape[0] !== rows)
    return wrong(`codes [${codes.shape}] do not go with scales [${scale.shape}]`);
  if (layer.kind === 'embedding') return wrong('Keras quantizes no embedding so');
  const isAwq = mode === 'awq' || rowScales !== undefined;
  if (mode === undefined && columns === 1 && !isAwq)
    return unknown('the file does not say how many bits its codes have');
  const isPacked = isAwq || (bits === undefined ? packed !== columns : bits === '4');
  if (packed !== (isPacked ? half(columns) : columns) || (rowScales && rowScales.shape[0] !== rows))
    return wrong(`codes [${codes.shape}] do not go with scales [${scale.shape}]`);
  if (stored && !same(stored.shape, scale.shape))
    return wrong(`zeros [${stored.shape}] do not go with scales [${scale.shape}]`);
  const zero = stored ?? symmetricZero(config, bits);
  if (zero === undefined)
    return {
      kind: 'lost',
      reason: `the file has no kernel_zero, which Keras ${isAwq ? 'AWQ' : 'GPTQ'} needs and Keras 3.15 does not write to .keras and .weights.h5 files: save the model as .h5, which has it`,
    };
  const shape = kernelShape(layer, rows, columns);
  if (!shape) return unknown('the shape of its kernel cannot be told');
  const groups = { index, along: 'rows' as const, groupStride: 1, otherStride: count, count };
  return {
    ...{ shape, rows, columns, codes, zero, divides: false },
    layout: isPacked ? 'transposed4' : 'transposed',
    scale: { ...scale, groups },
    ...(rowScales ? { rowScales } : {}),
  };
}

/** Symmetric GPTQ has its zero in the middle, `2^(bits - 1)`; its configuration says whether it is. */
function symmetricZero(
  { quantization_config: given }: JsonObject,
  bits: string | undefined,
): number | undefined {
  const config = (given as JsonObject | null | undefined)?.config as JsonObject | undefined;
  return config?.symmetric === true && Number(bits) >= 2 ? 2 ** (Number(bits) - 1) : undefined;
}

/** The shape of a kernel that is stored as a matrix. */
function kernelShape(layer: QuantizedLayer, rows: number, columns: number): readonly number[] | undefined {
  const { kind, config, input, arrays } = layer;
  const size = rows * columns;
  if (kind === 'dense') return [rows, columns];
  if (kind === 'attention') return attentionShape(layer, size);
  // Without an equation the bias of a layer, and the order of its axes, tell nothing.
  return config.equation === undefined
    ? undefined
    : einsumShape(config, input, arrays.get('bias')?.shape, size);
}

const numberOf = (value: unknown) => (typeof value === 'number' ? value : undefined);

/** Kernels of attention: `(inputs, heads, features)`, and `(heads, features, outputs)` of its last layer. */
function attentionShape({ config, part, heads }: QuantizedLayer, size: number): number[] | undefined {
  const [queryHeads, querySize] = heads?.query ?? [];
  const [valueHeads, valueSize] = heads?.value ?? [];
  const all = numberOf(config.num_heads) ?? numberOf(config.num_query_heads) ?? queryHeads;
  const few = numberOf(config.num_heads) ?? numberOf(config.num_key_value_heads) ?? valueHeads;
  const features = numberOf(config.key_dim) ?? numberOf(config.head_dim) ?? querySize;
  const values =
    numberOf(config.value_dim) ?? numberOf(config.key_dim) ?? numberOf(config.head_dim) ?? valueSize;
  if (part === 'query') return withOneUnknown([undefined, all, features], size);
  if (part === 'key') return withOneUnknown([undefined, few, features], size);
  if (part === 'value') return withOneUnknown([undefined, few, values], size);
  const outputs = Array.isArray(config.output_shape) ? config.output_shape.map(numberOf) : [undefined];
  return withOneUnknown([all, values, ...outputs], size);
}
