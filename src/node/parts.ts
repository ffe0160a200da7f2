import { BitnibbleError } from '../errors.js';
import { layoutSafetensors, type SafetensorsEntry, type SafetensorsHeader } from '../formats/safetensors.js';
import type { KerasModel } from '../keras/keras-model.js';
import type { ByteSource } from '../keras/source.js';
import { isObject, type Json, type JsonObject, type QuantizableModel } from '../model.js';
import {
  layoutPart,
  type NamedPart,
  orderParts,
  type PartInfo,
  RESULT,
  readPart,
  stretchesOf,
} from '../packed/part.js';
import type { PartNumber } from '../packed/part-number.js';
import { partsOf, planPacked, type PlannedWeight as ReadWeight } from '../packed/plan.js';
import { openSourceFile } from '../packed/read-source.js';
import { headsOf, metadataOf, type PlannedWeight } from '../packed/write.js';
import {
  planQuantized,
  type QuantizeReport,
  quantizePlanned,
  type TensorReport,
} from '../pipeline/quantize.js';
import type { Recipe } from '../pipeline/recipe.js';
import { sizeOf } from '../shape.js';
import { fileSource, makeFile, requireOtherFile, writeFile } from './files.js';
import { isIndexName, type QuantizeToFileOptions, writeShards } from './packed.js';

/** A file that `--shard` wrote, open. */
export interface OpenPart extends NamedPart {
  readonly header: SafetensorsHeader;
  readonly read: (entry: SafetensorsEntry) => Uint8Array;
}

/** What a part states of its run. */
export type RunInfo = Pick<PartInfo, 'command' | 'run'> & PartNumber;

/** Writes a part that is a result alone. @throws BitnibbleError `not-writable` */
export async function writePart(path: string, info: RunInfo, result: Json): Promise<void> {
  const bytes = new TextEncoder().encode(JSON.stringify(result));
  const { head } = layoutPart(info, [], bytes.length);
  await writeFile(path, [head, bytes]);
}

/**
 * Opens the parts of a run, for `work`, in their order.
 * @throws BitnibbleError `part-mismatch` for one that is missing, doubled or of another run, and what opening them throws
 */
export async function withParts<T>(
  paths: readonly string[],
  work: (parts: readonly OpenPart[]) => T | Promise<T>,
): Promise<T> {
  const sources: ByteSource[] = [];
  try {
    const parts = paths.map((name): OpenPart => {
      const source = fileSource(name);
      sources.push(source);
      const file = openSourceFile(source, name);
      return { name, ...file, info: readPart(file.header, file.read, name) };
    });
    return await work(orderParts(parts));
  } finally {
    for (const source of sources) source.close?.();
  }
}

/** What the result of a part of `quantize` holds beside what its command puts there. */
export interface QuantizeResult {
  /** Rows of its weights. */
  readonly tensors: readonly TensorReport[];
  /** `__metadata__` of the packed file, in the first part. */
  readonly metadata?: readonly (readonly [string, string])[];
}

/** Bytes at most of a row beside the texts of its weight. */
const ROW = 1000;

/**
 * Quantizes one of several contiguous stretches of a model's weights, of about the same size, into a part: its tensors with
 * the names and bytes that they have in the packed file, and its rows of the report.
 *
 * @param more what the command wants to be in the result of the part
 * @throws BitnibbleError as `quantizeToFile`
 */
export async function quantizeToPart(
  model: QuantizableModel,
  recipe: Recipe,
  options: QuantizeToFileOptions,
  original: KerasModel,
  path: string,
  info: RunInfo,
  more: JsonObject = {},
): Promise<QuantizeReport> {
  requireOtherFile(original.file, path);
  const plan = planQuantized(model, recipe);
  const sizes = plan.map(({ weight }) => sizeOf(weight.shape));
  const stretches = stretchesOf(sizes, info.parts);
  const own = plan.filter((_, i) => stretches[i] === info.part);
  const metadata = metadataOf(
    model,
    plan.map(({ weight }) => weight),
  );
  const first = info.part === 1 ? { metadata } : {};
  const json = (value: object) => new TextEncoder().encode(JSON.stringify(value));
  // Errors of weights are known after the header was written, so there is room for them.
  const room = own.reduce(
    (sum, { weight }) => sum + ROW + 2 * json(weight).length,
    json({ ...more, ...first, tensors: [] }).length,
  );
  const { head, places, size } = layoutPart(
    info,
    own.flatMap(({ weight }) => headsOf(weight)),
    room,
  );
  let report: QuantizeReport | undefined;
  await makeFile(path, (draft) => {
    draft.write(head, 0);
    draft.write(new Uint8Array(room).fill(0x20), places.get(RESULT) as number);
    report = quantizePlanned(model, own, options, (tensor, bytes, at) =>
      draft.write(bytes, (places.get(tensor) as number) + at),
    );
    const result = json({ ...more, ...first, tensors: report.tensors });
    if (result.length > room)
      throw new RangeError(`a report of ${result.length} bytes, expected at most ${room}`);
    draft.write(result, places.get(RESULT) as number);
    draft.truncate(size);
    options.onWritten?.();
  });
  return report as unknown as QuantizeReport;
}

const PIECE = 2 ** 24;

/**
 * Makes of the parts of a quantized model the file that one run would have made, byte by byte.
 *
 * @param parts of {@link withParts}
 * @param path `.safetensors`, or `.safetensors.index.json` for shards
 * @returns the rows of the report
 * @throws BitnibbleError `corrupt-file`, `missing-weight` for parts that do not make a packed model, `not-writable`
 */
export async function mergeQuantized(
  parts: readonly OpenPart[],
  path: string,
  { shardSize, onWritten }: Pick<QuantizeToFileOptions, 'shardSize' | 'onWritten'> = {},
): Promise<TensorReport[]> {
  const [{ name }] = parts as [OpenPart];
  const results = parts.map(({ info, name: own }) => quantizeResult(info.result, own));
  const metadata = results[0]?.metadata;
  if (!metadata) throw damagedPart(name, 'it has no metadata of the model');
  const owners = new Map<string, OpenPart>();
  const tensors = new Map<string, SafetensorsEntry>();
  for (const part of parts) {
    for (const [tensor, entry] of part.header.tensors) {
      if (tensor === RESULT) continue;
      const twin = owners.get(tensor);
      if (twin) throw damagedPart(part.name, `tensor ${tensor} is in ${twin.name} too`);
      owners.set(tensor, part);
      tensors.set(tensor, entry);
    }
  }
  const { info, weights } = planPacked({ metadata: new Map(metadata), tensors }, name);
  const copy = (entry: SafetensorsEntry, write: (bytes: Uint8Array, at: number) => void) => {
    const part = owners.get(entry.name) as OpenPart;
    for (let at = entry.start; at < entry.end; at += PIECE) {
      const end = Math.min(entry.end, at + PIECE);
      write(part.read({ ...entry, start: at, end }), at - entry.start);
    }
  };
  const entries = weights.flatMap(partsOf);
  if (isIndexName(path)) {
    await writeShards(path, {
      ...{ model: info, weights: weights.map(plannedAgain), shardSize },
      write: (write) => {
        for (const entry of entries) copy(entry, (bytes, at) => write(entry.name, bytes, at));
        onWritten?.();
      },
    });
  } else {
    const { head, places } = layoutSafetensors(entries, metadata);
    await makeFile(path, (draft) => {
      draft.write(head, 0);
      for (const entry of entries)
        copy(entry, (bytes, at) => draft.write(bytes, (places.get(entry.name) as number) + at));
      onWritten?.();
    });
  }
  return results.flatMap((result) => [...result.tensors]);
}

const damagedPart = (name: string, fault: string): BitnibbleError =>
  new BitnibbleError('corrupt-file', `${name}: damaged part: ${fault}`);

function quantizeResult(result: Json, name: string): QuantizeResult {
  const { tensors, metadata } = isObject(result) ? result : {};
  const isPair = (pair: Json) =>
    Array.isArray(pair) && pair.length === 2 && pair.every((text) => typeof text === 'string');
  if (
    !Array.isArray(tensors) ||
    !tensors.every(isObject) ||
    (metadata !== undefined && !(Array.isArray(metadata) && metadata.every(isPair)))
  )
    throw damagedPart(name, 'its result is none of quantize');
  return result as unknown as QuantizeResult;
}

/** A weight as a writer has it. */
function plannedAgain(weight: ReadWeight): PlannedWeight {
  const { id, layer, className, name, shape, dtype } = weight;
  const info = { id, layer, className, name, shape, dtype };
  return weight.kind === 'kept'
    ? { ...info, kind: 'kept', reason: weight.reason }
    : { ...info, kind: 'quantized', tensor: { coding: weight.coding, layout: weight.layout } };
}
