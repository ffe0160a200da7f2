import { BitnibbleError } from '../errors.js';
import { toFloat32 } from '../formats/dtypes.js';
import { parseJson } from '../formats/json.js';
import {
  readSafetensorsHeader,
  type SafetensorsEntry,
  type SafetensorsHeader,
} from '../formats/safetensors.js';
import type { Kernels } from '../kernels/types.js';
import { DTYPE_BYTES, type Dtype, type JsonObject, type WeightInfo } from '../model.js';
import { codingOf, SCHEMES } from '../schemes/quantize.js';
import type { QuantizedTensor, QuantizeOptions, ScaleDtype } from '../schemes/types.js';
import { blockLayout, blockShape, sizeOf } from '../shape.js';
import { FORMAT, VERSION } from './format.js';
import { type PackedWeight, QuantizedModel } from './quantized-model.js';

/**
 * Opens a packed file; codes and kept tensors are views of `bytes`, decoded when read.
 *
 * @param what names the file in errors
 * @throws BitnibbleError `not-safetensors`, `unknown-format` (a safetensors file of somebody else),
 *   `unsupported-version`, `unsupported-dtype`, `corrupt-file`
 */
export function openPacked(bytes: Uint8Array, kernels: Kernels, what = 'packed model'): QuantizedModel {
  const header = readSafetensorsHeader(bytes, what);
  const { metadata } = header;
  if (metadata.get('format') !== FORMAT) {
    throw new BitnibbleError(
      'unknown-format',
      `${what}: a safetensors file without a packed model: expected "format": "${FORMAT}" in its metadata`,
    );
  }
  const version = metadata.get('format_version');
  if (version !== VERSION) {
    throw new BitnibbleError(
      'unsupported-version',
      `${what}: expected format version ${VERSION}, got ${version}`,
    );
  }
  const reader = new Reader(bytes, header, what);
  const weights = reader.json('weights');
  const architecture = metadata.has('architecture') ? reader.json('architecture') : undefined;
  if (!Array.isArray(weights)) throw reader.damaged('weights is not a list');
  const isObject = typeof architecture === 'object' && architecture !== null && !Array.isArray(architecture);
  if (architecture !== undefined && !isObject) {
    throw reader.damaged('architecture is not an object');
  }
  const model = {
    file: what,
    architecture: architecture as JsonObject | undefined,
    kerasVersion: metadata.get('keras_version') ?? '',
    backend: metadata.get('keras_backend') ?? '',
  };
  const packed = weights.map((weight) => reader.weight(weight));
  reader.finish();
  return new QuantizedModel(model, packed, kernels);
}

class Reader {
  readonly #unused: Set<string>;
  readonly #ids = new Set<string>();

  constructor(
    readonly bytes: Uint8Array,
    readonly header: SafetensorsHeader,
    readonly what: string,
  ) {
    this.#unused = new Set(header.tensors.keys());
  }

  damaged(fault: string): BitnibbleError {
    return new BitnibbleError('corrupt-file', `${this.what}: damaged packed model: ${fault}`);
  }

  json(key: string): unknown {
    const text = this.header.metadata.get(key);
    if (text === undefined) throw this.damaged(`no ${key} in the metadata`);
    return parseJson(text, `${this.what}: damaged packed model: ${key} in the metadata`);
  }

  weight(value: unknown): PackedWeight {
    if (typeof value !== 'object' || value === null)
      throw this.damaged('an entry of weights is not an object');
    const entry = value as Record<string, unknown>;
    const text = (key: string): string => {
      const field = entry[key];
      if (typeof field !== 'string') throw this.damaged(`a weight's ${key} is not text`);
      return field;
    };
    const id = text('id');
    if (this.#ids.has(id)) throw this.damaged(`weight ${id} is listed twice`);
    this.#ids.add(id);
    const shape = entry.shape;
    const isShape = Array.isArray(shape) && shape.every((n) => Number.isSafeInteger(n) && n >= 0);
    if (!isShape || !Number.isSafeInteger(sizeOf(shape as number[])))
      throw this.damaged(`weight ${id} has no proper shape`);
    const dtype = text('dtype');
    if (!Object.hasOwn(DTYPE_BYTES, dtype)) throw this.damaged(`weight ${id} has the unknown type ${dtype}`);
    const info: WeightInfo = {
      id,
      layer: text('layer'),
      className: text('class'),
      name: text('name'),
      shape: shape as number[],
      dtype: dtype as Dtype,
    };
    if (entry.scheme === 'keep') {
      const bytes = this.#data(this.#tensor(id, [info.dtype], info.shape));
      return { ...info, kind: 'kept', reason: text('reason'), bytes: () => bytes };
    }
    return { ...info, kind: 'quantized', tensor: this.#quantized(info, entry) };
  }

  /** Every tensor of the file must have been named. */
  finish(): void {
    for (const name of this.#unused) throw this.damaged(`tensor ${name} belongs to no weight`);
  }

  #quantized({ id, shape }: WeightInfo, entry: Record<string, unknown>): QuantizedTensor {
    const scalesEntry = this.#tensor(`${id}.scales`, ['F32', 'F16']);
    let coding: QuantizedTensor['coding'];
    let layout: QuantizedTensor['layout'];
    try {
      const options: QuantizeOptions = {
        scheme: entry.scheme as QuantizeOptions['scheme'],
        granularity: (entry.granularity ?? '') as QuantizeOptions['granularity'] & string,
        groupSize: entry.group_size as number | undefined,
        scale: (entry.scale ?? '') as QuantizeOptions['scale'] & string,
        scaleDtype: scalesEntry.dtype as ScaleDtype,
        ...(Array.isArray(entry.axes) ? { axes: entry.axes as number[] } : {}),
      };
      coding = codingOf(options, shape.length, `tensor ${id}`);
      layout = blockLayout(shape, coding.granularity, coding.axes, coding.groupSize, `tensor ${id}`);
    } catch (error) {
      throw this.damaged((error as Error).message);
    }
    const [groups, channels] = blockShape(layout);
    if (
      scalesEntry.shape.length !== 2 ||
      scalesEntry.shape[0] !== groups ||
      scalesEntry.shape[1] !== channels
    ) {
      throw this.damaged(
        `tensor ${id}.scales expected shape [${groups},${channels}], got [${scalesEntry.shape}]`,
      );
    }
    const bits = SCHEMES[coding.scheme].bits * sizeOf(shape);
    const codes = this.#data(this.#tensor(`${id}.codes`, ['U8'], [Math.ceil(bits / 8)]));
    const padding = (codes.at(-1) ?? 0) >> (((bits + 7) % 8) + 1);
    if (padding !== 0) throw this.damaged(`tensor ${id}.codes has padding bits that are not zero`);
    const scales = toFloat32(this.#data(scalesEntry), scalesEntry.dtype);
    const bad = scales.findIndex((scale) => !Number.isFinite(scale));
    if (bad >= 0) throw this.damaged(`tensor ${id}.scales holds ${scales[bad]} at index ${bad}`);
    return { coding, shape, layout, codes, scales };
  }

  #tensor(name: string, dtypes: readonly Dtype[], shape?: readonly number[]): SafetensorsEntry {
    const entry = this.header.tensors.get(name);
    if (!entry) throw new BitnibbleError('missing-weight', `${this.what}: tensor ${name} is not in the file`);
    this.#unused.delete(name);
    if (!dtypes.includes(entry.dtype)) {
      throw this.damaged(`tensor ${name} expected ${dtypes.join(' or ')}, got ${entry.dtype}`);
    }
    if (shape && (shape.length !== entry.shape.length || shape.some((n, i) => n !== entry.shape[i]))) {
      throw this.damaged(`tensor ${name} expected shape [${shape}], got [${entry.shape}]`);
    }
    return entry;
  }

  #data({ start, end }: SafetensorsEntry): Uint8Array {
    return this.bytes.subarray(this.header.dataStart + start, this.header.dataStart + end);
  }
}
