// The short way to open a packed file: one with the number types and the order that `write.ts` gives it, nothing wrong with it. Any
// other file is left to `read.ts` and `whole.ts`, which take it or say what is wrong. What is taken here they take too, and
// make the same of it.
import type { Decoder } from '../kernels/types.js';
import { isObject, type Json, type JsonObject, type ModelSource, type WeightInfo } from '../model.js';
import { SCHEMES } from '../schemes/decode.js';
import type { QuantizedTensor, ScaleRule, SchemeName } from '../schemes/types.js';
import { blockLayout, blockShape, type Granularity, sizeOf } from '../shape.js';
import { FORMAT, VERSION } from './format.js';
import type { PackedWeight } from './quantized-model.js';

/** A packed model that was opened the short way. */
export interface QuickModel extends ModelSource {
  readonly weights: readonly PackedWeight[];
  weight(id: string): PackedWeight;
}

/** Longer headers, deeper JSON, more axes and longer names are for `read.ts` to judge. */
const MOST = { header: 2 ** 20, depth: 100, rank: 8, name: 1024 };

/** Thrown and caught here: the file is for `read.ts`. */
class Other extends Error {}

function other(): never {
  throw new Other();
}

function orOther<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}

function need(is: boolean): void {
  if (!is) other();
}

/** Where bytes lie behind the header. */
type Place = readonly [dtype: string, shape: readonly number[], start: number, end: number];

type QuickWeight = WeightInfo &
  (
    | { readonly kind: 'kept'; readonly reason: string; readonly data: Place }
    | ({ readonly kind: 'quantized'; readonly codes: Place; readonly scales: Place } & Pick<
        QuantizedTensor,
        'coding' | 'layout'
      >)
  );

/** What a header says that is as usual. */
export interface QuickPlan {
  readonly info: Omit<ModelSource, 'file' | 'weights' | 'read'>;
  readonly weights: readonly QuickWeight[];
  readonly dataStart: number;
  readonly fileSize: number;
}

const isCount = (n: unknown): n is number => Number.isSafeInteger(n) && Number(n) >= 0;

const textOf = (value: Json | undefined): string =>
  typeof value === 'string' && value.length <= MOST.name ? value : other();
const listOf = (value: Json | undefined): Json[] => (Array.isArray(value) ? value : other());
const objectOf = (value: Json | undefined): JsonObject => (isObject(value) ? value : other());

function shapeOf(value: Json | undefined): number[] {
  const shape = listOf(value) as number[];
  need(shape.length <= MOST.rank && shape.every(isCount) && isCount(sizeOf(shape)));
  return shape;
}

/** JSON that is not nested out of reason. */
function parsed(text: Json | undefined): Json {
  const value = JSON.parse(typeof text === 'string' ? text : other());
  let depth = 0;
  for (let level: unknown[] = [value]; level.length > 0; depth++) {
    need(depth < MOST.depth);
    level = level.flatMap((item) => (typeof item === 'object' && item !== null ? Object.values(item) : []));
  }
  return value;
}

/** Bytes of length prefix and header; NaN where the first eight bytes are none of a usual file. */
function headBytes(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const length = view.getUint32(0, true);
  return view.getUint32(4, true) === 0 && length >= 2 && length <= MOST.header ? 8 + length : Number.NaN;
}

/** Reads a header. @param bytes the file, or at least its header */
export function planQuick(bytes: Uint8Array): QuickPlan | undefined {
  return orOther(() => {
    const dataStart = headBytes(bytes);
    need(bytes.length >= dataStart && bytes[8] === 0x7b);
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(8, dataStart));
    const header = objectOf(parsed(text));
    // A text that comes back whole has no name twice.
    need(JSON.stringify(header) === text.trimEnd());
    const { __metadata__: given, ...entries } = header;
    const metadata = objectOf(given);
    need(Object.values(metadata).every((value) => typeof value === 'string'));
    need(metadata.format === FORMAT && metadata.format_version === VERSION);
    let at = 0;
    const places = new Map<string, Place>();
    for (const [name, entry] of Object.entries(entries)) {
      const { dtype, shape: own, data_offsets: offsets } = objectOf(entry);
      const shape = shapeOf(own);
      const [start, end, ...more] = listOf(offsets);
      const bytesEach = dtype === 'F32' ? 4 : dtype === 'U8' ? 1 : other();
      need(start === at && end === at + bytesEach * sizeOf(shape) && isCount(end) && more.length === 0);
      need(name.length <= MOST.name);
      places.set(name, [dtype as string, shape, at, end as number]);
      at = end as number;
    }
    const ids = new Set<string>();
    const weights = listOf(parsed(metadata.weights)).map((item) => {
      const weight = weightOf(objectOf(item), places);
      need(!ids.has(weight.id));
      ids.add(weight.id);
      return weight;
    });
    need(places.size === 0);
    const architecture = 'architecture' in metadata ? objectOf(parsed(metadata.architecture)) : undefined;
    need(architecture === undefined || typeof (architecture.class_name ?? '') === 'string');
    const {
      keras_version: kerasVersion = '',
      keras_backend: backend = '',
      activation_ranges: ranges,
    } = metadata;
    const info = {
      ...{ architecture, kerasVersion: kerasVersion as string, backend: backend as string },
      ...(ranges === undefined ? {} : { activationRanges: ranges as string }),
    };
    return { info, weights, dataStart, fileSize: dataStart + at };
  });
}

function weightOf(entry: JsonObject, places: Map<string, Place>): QuickWeight {
  const take = (name: string, dtype: string, shape: readonly number[]): Place => {
    const place = places.get(name) ?? other();
    places.delete(name);
    need(place[0] === dtype && `${place[1]}` === `${shape}` && place[1].length === shape.length);
    return place;
  };
  const { scheme, granularity, axes, group_size: groupSize } = entry;
  const [id, shape] = [textOf(entry.id), shapeOf(entry.shape)];
  need(entry.dtype === 'F32');
  const info = {
    ...{ id, layer: textOf(entry.layer), className: textOf(entry.class), name: textOf(entry.name) },
    ...{ shape, dtype: 'F32' as const },
  };
  if (scheme === 'keep')
    return { ...info, kind: 'kept', reason: textOf(entry.reason), data: take(id, 'F32', shape) };
  const { bits, scales: rules } = Object.hasOwn(SCHEMES, textOf(scheme))
    ? SCHEMES[scheme as SchemeName]
    : other();
  const isTensor = granularity === 'tensor';
  need(isTensor || granularity === 'channel' || granularity === 'group');
  need((granularity === 'group') === (groupSize !== undefined) && isTensor === (axes === undefined));
  need(rules.includes(entry.scale as ScaleRule));
  const own = isTensor ? [Math.max(0, shape.length - 1)] : (listOf(axes) as number[]);
  const layout = blockLayout(shape, granularity as Granularity, own, groupSize as number | undefined);
  const coding = {
    ...{ scheme, granularity, groupSize: groupSize as number | undefined, scale: entry.scale },
    ...{ scaleDtype: 'F32', axes: own },
  } as QuantizedTensor['coding'];
  const scales = take(`${id}.scales`, 'F32', blockShape(layout));
  const codes = take(`${id}.codes`, 'U8', [Math.ceil((bits * sizeOf(shape)) / 8)]);
  return { ...info, kind: 'quantized', coding, layout, codes, scales };
}

/**
 * A packed model whose file is as usual; undefined for any other.
 *
 * @param what names the file in errors
 */
export function openQuick(
  bytes: Uint8Array,
  kernels: Decoder,
  what: string,
  plan = planQuick(bytes),
): QuickModel | undefined {
  return orOther(() => {
    const { info, weights: planned, dataStart, fileSize } = plan ?? other();
    need(fileSize === bytes.length);
    const dataOf = ([, , start, end]: Place) => bytes.subarray(dataStart + start, dataStart + end);
    const weights = planned.map((weight): PackedWeight => {
      const { id, layer, className, name, shape, dtype } = weight;
      const own = { id, layer, className, name, shape, dtype };
      if (weight.kind === 'kept') {
        const data = dataOf(weight.data);
        return { ...own, kind: 'kept', reason: weight.reason, bytes: () => data };
      }
      const { coding, layout } = weight;
      const codes = dataOf(weight.codes);
      const { bits, largest } = SCHEMES[coding.scheme];
      need((codes.at(-1) ?? 0) >> (((bits * sizeOf(shape) + 7) % 8) + 1) === 0);
      const scales = floatsOf(dataOf(weight.scales));
      need(scales.every((scale) => Number.isFinite(Math.fround(scale * largest))));
      return { ...own, kind: 'quantized', tensor: { coding, shape, layout, codes, scales } };
    });
    const byId = new Map(weights.map((weight) => [weight.id, weight]));
    const weight = (id: string) => byId.get(id) as PackedWeight;
    const read = (id: string) => {
      const own = weight(id);
      if (own.kind === 'kept') return floatsOf(new Uint8Array(own.bytes()));
      const { coding, codes, scales, layout } = own.tensor;
      const out = new Float32Array(sizeOf(own.shape));
      return SCHEMES[coding.scheme].unpackInto(kernels, codes, scales, layout, out);
    };
    return { file: what, ...info, weights, weight, read };
  });
}

/** float32 in place where its alignment allows. */
function floatsOf(bytes: Uint8Array): Float32Array {
  const { buffer, byteOffset, length } = bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes);
  return new Float32Array(buffer, byteOffset, length / 4);
}

/** A file that came whole, and what its header says; or its bytes over again, for `takeWhole`. */
export type QuickBytes =
  | { readonly bytes: Uint8Array; readonly plan: QuickPlan }
  | { readonly stream: AsyncIterable<Uint8Array> };

/**
 * Takes a packed file off its stream: the header, then as many bytes as that states. Where something is not as usual, the stream
 * is given back from its beginning.
 *
 * @param limit bytes of the file at most
 */
export async function takeQuick(source: ReadableStream<Uint8Array>, limit: number): Promise<QuickBytes> {
  const reader = source.getReader();
  const chunks: Uint8Array[] = [];
  async function* again() {
    try {
      yield* chunks;
      for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value;
    } finally {
      await reader.cancel().catch(() => undefined);
    }
  }
  let total = 0;
  let head = 8;
  let plan: QuickPlan | undefined;
  const joined = () => {
    const bytes = new Uint8Array(total);
    let at = 0;
    for (const chunk of chunks) {
      bytes.set(chunk, at);
      at += chunk.length;
    }
    return bytes;
  };
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      chunks.push(next.value);
      need(next.value instanceof Uint8Array);
      total += next.value.length;
      if (head === 8 && total >= 8) head = headBytes(joined());
      need(head > 0);
      if (!plan && head > 8 && total >= head) {
        plan = planQuick(joined()) ?? other();
        need(plan.fileSize <= limit);
      }
      need(!plan || total <= plan.fileSize);
    }
    if (plan && total === plan.fileSize) return { bytes: joined(), plan };
  } catch {
    // Whatever it is, it happens again to who reads the stream anew.
  }
  return { stream: again() };
}
