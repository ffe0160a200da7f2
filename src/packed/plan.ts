import { BitnibbleError } from '../errors.js';
import { parseJson } from '../formats/json.js';
import { checkName, MAX_PATH } from '../formats/names.js';
import { MAX_RANK, type SafetensorsEntry, type SafetensorsHeader } from '../formats/safetensors.js';
import { DTYPE_BYTES, type Dtype, type JsonObject, type ModelInfo, type WeightInfo } from '../model.js';
import { codingOf, SCHEMES } from '../schemes/decode.js';
import type {
  QuantizedTensor,
  QuantizeOptions,
  ScaleDtype,
  ScaleRule,
  SchemeName,
} from '../schemes/types.js';
import { blockLayout, blockShape, type Granularity, sizeOf } from '../shape.js';
import { FORMAT, VERSION } from './format.js';

/** Where the bytes of a weight lie. */
export type PlannedWeight = WeightInfo &
  (
    | { readonly kind: 'kept'; readonly reason: string; readonly data: SafetensorsEntry }
    | ({
        readonly kind: 'quantized';
        readonly codes: SafetensorsEntry;
        readonly scales: SafetensorsEntry;
      } & Pick<QuantizedTensor, 'coding' | 'layout'>)
  );

export type PlannedQuantized = Extract<PlannedWeight, { kind: 'quantized' }>;

/** What the header of a packed file says, before any byte of its data is there. */
export interface PackedPlan {
  readonly info: ModelInfo;
  /** In the order of the model. */
  readonly weights: readonly PlannedWeight[];
}

/** The tensors that a weight is made of. */
export function partsOf(weight: PlannedWeight): SafetensorsEntry[] {
  return weight.kind === 'kept' ? [weight.data] : [weight.scales, weight.codes];
}

/** A weight as the metadata lists it, before it is known where its tensors lie. */
export interface DeclaredWeight {
  readonly info: WeightInfo;
  /** Names of its tensors. */
  readonly tensors: readonly string[];
  readonly entry: Readonly<Record<string, unknown>>;
}

/** What the metadata of a packed file says. */
export interface PackedDeclaration {
  readonly info: ModelInfo;
  /** In the order of the model. */
  readonly weights: readonly DeclaredWeight[];
  /** Holds the tensors of a weight against what is declared. @throws BitnibbleError `missing-weight`, `corrupt-file` */
  readonly plan: (weight: DeclaredWeight, tensors: Tensors) => PlannedWeight;
}

type Tensors = ReadonlyMap<string, SafetensorsEntry>;

/**
 * Reads the metadata of a packed file.
 *
 * @param what names the file in errors
 * @throws BitnibbleError `unknown-format` (a safetensors file of somebody else), `unsupported-version`, `corrupt-file`,
 *   `too-large` for a name beyond reason
 */
export function declarePacked(metadata: ReadonlyMap<string, string>, what: string): PackedDeclaration {
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
  const reader = new MetadataReader(metadata, what);
  const shard = metadata.get('shard');
  if (shard !== undefined && !metadata.has('weights'))
    throw reader.damaged(`it is shard ${shard} of a model: open the index, .safetensors.index.json`);
  const list = reader.json('weights');
  const architecture = metadata.has('architecture') ? reader.json('architecture') : undefined;
  if (!Array.isArray(list)) throw reader.damaged('weights is not a list');
  if (architecture !== undefined) {
    const { class_name: className = '' } = reader.object(architecture, 'architecture');
    if (typeof className !== 'string') throw reader.damaged('the class_name of architecture is not text');
  }
  const activationRanges = metadata.get('activation_ranges');
  const info = {
    file: what,
    architecture: architecture as JsonObject | undefined,
    kerasVersion: metadata.get('keras_version') ?? '',
    backend: metadata.get('keras_backend') ?? '',
    ...(activationRanges === undefined ? {} : { activationRanges }),
  };
  const ids = new Set<string>();
  const weights = list.map((value) => {
    const weight = reader.declared(value);
    if (ids.has(weight.info.id)) throw reader.damaged(`weight ${weight.info.id} is listed twice`);
    ids.add(weight.info.id);
    return weight;
  });
  return { info, weights, plan: (weight, tensors) => reader.planned(weight, tensors) };
}

/**
 * Holds the tensors of a packed file against what its metadata declares.
 *
 * @param what names the file in errors
 * @throws BitnibbleError as {@link declarePacked}, and `missing-weight`
 */
export function planPacked(
  { metadata, tensors }: Pick<SafetensorsHeader, 'metadata' | 'tensors'>,
  what: string,
): PackedPlan {
  const { info, weights, plan } = declarePacked(metadata, what);
  const planned = weights.map((weight) => plan(weight, tensors));
  const used = new Set(weights.flatMap(({ tensors: names }) => names));
  for (const name of tensors.keys())
    if (!used.has(name)) throw damagedModel(what, `tensor ${name} belongs to no weight`);
  return { info, weights: planned };
}

export function damagedModel(what: string, fault: string): BitnibbleError {
  return new BitnibbleError('corrupt-file', `${what}: damaged packed model: ${fault}`);
}

class MetadataReader {
  constructor(
    readonly metadata: ReadonlyMap<string, string>,
    readonly what: string,
  ) {}

  damaged(fault: string): BitnibbleError {
    return damagedModel(this.what, fault);
  }

  json(key: string): unknown {
    const text = this.metadata.get(key);
    if (text === undefined) throw this.damaged(`no ${key} in the metadata`);
    return parseJson(text, `${this.what}: damaged packed model: ${key} in the metadata`);
  }

  declared(value: unknown): DeclaredWeight {
    const entry = this.object(value, 'an entry of weights');
    const id = this.#text(entry, 'id', 'a weight');
    const text = (key: string) => this.#text(entry, key, `weight ${id}`);
    const shape = entry.shape;
    const isShape =
      Array.isArray(shape) &&
      shape.length <= MAX_RANK &&
      shape.every((n) => Number.isSafeInteger(n) && n >= 0);
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
    const tensors = text('scheme') === 'keep' ? [id] : [`${id}.scales`, `${id}.codes`];
    return { info, tensors, entry };
  }

  planned({ info, entry }: DeclaredWeight, tensors: Tensors): PlannedWeight {
    const { id, shape } = info;
    const text = (key: string) => this.#text(entry, key, `weight ${id}`);
    const scheme = text('scheme');
    if (scheme === 'keep') {
      const data = this.#tensor(tensors, id, [info.dtype], info.shape);
      return { ...info, kind: 'kept', reason: text('reason'), data };
    }
    const { group_size: groupSize, axes } = entry;
    const granularity = text('granularity');
    const field = (key: string, isRight: boolean, what: string) => {
      if (!isRight)
        throw this.damaged(
          `weight ${id} has ${JSON.stringify(entry[key])?.slice(0, 60) ?? 'no'} ${key}: ${what}`,
        );
    };
    field('group_size', (granularity === 'group') === (groupSize !== undefined), 'groups alone have one');
    const isList = Array.isArray(axes) && axes.length <= shape.length && axes.every(Number.isSafeInteger);
    field(
      'axes',
      granularity === 'tensor' ? axes === undefined : isList,
      'channels and groups have a list of integers',
    );
    return this.#quantized(tensors, info, {
      scheme: scheme as SchemeName,
      granularity: granularity as Granularity,
      groupSize: groupSize as number | undefined,
      scale: text('scale') as ScaleRule,
      ...(isList ? { axes } : {}),
    });
  }

  object(value: unknown, what: string): Record<string, unknown> {
    if (typeof value === 'object' && value !== null && !Array.isArray(value))
      return value as Record<string, unknown>;
    throw this.damaged(`${what} is not an object`);
  }

  #text(entry: Readonly<Record<string, unknown>>, key: string, whose: string): string {
    const field = entry[key];
    if (typeof field !== 'string') throw this.damaged(`${whose}: ${key} is not text`);
    return checkName(field, `${this.what}: ${key} of a weight`, MAX_PATH);
  }

  #quantized(tensors: Tensors, info: WeightInfo, given: QuantizeOptions): PlannedWeight {
    const { id, shape } = info;
    const scales = this.#tensor(tensors, `${id}.scales`, ['F32', 'F16']);
    let coding: QuantizedTensor['coding'];
    let layout: QuantizedTensor['layout'];
    try {
      const options = { ...given, scaleDtype: scales.dtype as ScaleDtype };
      coding = codingOf(options, shape.length, `tensor ${id}`);
      layout = blockLayout(shape, coding.granularity, coding.axes, coding.groupSize, `tensor ${id}`);
    } catch (error) {
      throw this.damaged((error as Error).message);
    }
    const [groups, channels] = blockShape(layout);
    if (scales.shape.length !== 2 || scales.shape[0] !== groups || scales.shape[1] !== channels) {
      throw this.damaged(`tensor ${id}.scales expected shape [${groups},${channels}], got [${scales.shape}]`);
    }
    const bits = SCHEMES[coding.scheme].bits * sizeOf(shape);
    const codes = this.#tensor(tensors, `${id}.codes`, ['U8'], [Math.ceil(bits / 8)]);
    return { ...info, kind: 'quantized', coding, layout, codes, scales };
  }

  #tensor(
    tensors: Tensors,
    name: string,
    dtypes: readonly Dtype[],
    shape?: readonly number[],
  ): SafetensorsEntry {
    const entry = tensors.get(name);
    if (!entry) throw new BitnibbleError('missing-weight', `${this.what}: tensor ${name} is not in the file`);
    if (!dtypes.includes(entry.dtype)) {
      throw this.damaged(`tensor ${name} expected ${dtypes.join(' or ')}, got ${entry.dtype}`);
    }
    if (shape && (shape.length !== entry.shape.length || shape.some((n, i) => n !== entry.shape[i]))) {
      throw this.damaged(`tensor ${name} expected shape [${shape}], got [${entry.shape}]`);
    }
    return entry;
  }
}
