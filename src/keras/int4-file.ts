import { BitnibbleError } from '../errors.js';
import { bytesOf, fromNumbers } from '../formats/dtypes.js';
import { type Hdf5Dataset, type Hdf5Group, hdf5File } from '../formats/hdf5-write.js';
import { zipFile } from '../formats/zip-file.js';
import type { Dtype, JsonObject, ModelSource, WeightInfo } from '../model.js';
import { operationOf } from '../network/operations/index.js';
import type { QuantizedTensor } from '../schemes/types.js';
import { sizeOf } from '../shape.js';
import { WEIGHTS_MEMBER } from './archive.js';
import { type LayerNode, layerTree, requireArchitecture } from './config.js';
import { type Place, placesOf, type StoredObject } from './places.js';
import { einsumRows } from './quantized/einsum.js';
import { blockIndex, type Int4Arrays, int4Arrays } from './quantized/int4.js';
import { floatPolicy, int4Config, int4Policy, partPattern, policyMap } from './quantized/policies.js';
import { knowsClass } from './variables.js';

/** The first version of Keras that stores int4 in this form. */
const KERAS = '3.15.0';
/** HDF5 keeps no weights of 2 bytes that NumPy knows as bfloat16; Keras casts what it reads. */
const STORED: Partial<Record<Dtype, Dtype>> = { BF16: 'F32', BOOL: 'U8' };
/** Numbers that are turned into bytes at once. */
const PIECE = 2 ** 18;

/** A model of which some weights may be codes: what `openPacked` and `quantizeModel` give. */
interface MaybeCoded extends ModelSource {
  weight?(id: string): WeightInfo & { readonly kind?: string; readonly tensor?: QuantizedTensor };
}

/** A `.keras` file whose dense layers are in Keras's own int4. */
export interface KerasInt4File {
  /** The file, weights read one at a time, twice. */
  pieces(): Iterable<Uint8Array>;
  readonly bytes: number;
  /** Weights that stay at 4 bits; `blockSize` rows (of embeddings: features) share a scale, else a whole output or token. */
  readonly int4: readonly { readonly id: string; readonly blockSize?: number }[];
  /** All others, stored as numbers, and why. */
  readonly decoded: readonly {
    readonly id: string;
    readonly reason: string;
    /** It was codes in the source. */
    readonly wasCoded: boolean;
  }[];
}

/** A weight of a place, as Keras stores it, or why as numbers. */
interface Chosen {
  readonly base: 'kernel' | 'embeddings';
  readonly arrays: Int4Arrays;
}

/**
 * A packed model as a `.keras` file for Keras 3.15 and later in which int4 weights of Dense, EinsumDense and Embedding, and of the
 * products inside MultiHeadAttention and GroupedQueryAttention, are stored as Keras stores those that it quantized itself: with a
 * scale per output or token, or in blocks where scales are for groups. `keras.saving.load_model` keeps them at 4 bits. Every
 * other weight is decoded. Optimizer and losses are not written.
 *
 * Codes and scales are those of the model. Where Keras divides by a scale, it is the inverse, so that values are within two
 * roundings of float32 of the model's.
 *
 * @param model what `openPacked` or `quantizeModel` gives
 * @throws BitnibbleError before anything is read: `no-model-config` for weights alone; `unsupported-version` for an
 *   architecture of Keras 1 or 2, or one in `.h5` notation that holds operations, whose modules it does not state;
 *   `unsupported-layer` where no weight can be stored so, or Keras 3 has no place for one; `corrupt-file`
 */
export function kerasInt4File(model: ModelSource): KerasInt4File {
  const architecture = keras3Architecture(model);
  const layers = layerTree(architecture, model.file);
  const { places, objects, homeless } = placesOf(layers, model.weights);
  const [lost] = homeless;
  if (lost)
    throw new BitnibbleError(
      'unsupported-layer',
      `${model.file}: it is not known where Keras 3 stores ${lost.id} of the layer ${lost.layer} (${lost.className})`,
    );
  const int4: { id: string; blockSize?: number }[] = [];
  const decoded: { id: string; reason: string; wasCoded: boolean }[] = [];
  const chosen = new Map<Place, Chosen>();
  for (const place of places) {
    for (const weight of place.weights) {
      const choice = choose(model, place, weight);
      if (typeof choice === 'string') {
        const wasCoded = tensorOf(model, weight.id) !== undefined;
        decoded.push({ id: weight.id, reason: choice, wasCoded });
        continue;
      }
      const { blockSize } = choice.arrays;
      chosen.set(place, choice);
      int4.push({ id: weight.id, ...(blockSize === undefined ? {} : { blockSize }) });
    }
  }
  if (int4.length === 0) throw nothingToKeep(model, decoded);
  usePolicies(chosen);
  const h5 = hdf5File(groupsOf(model, [...objects, ...places], chosen));
  const text = (value: JsonObject) => new TextEncoder().encode(JSON.stringify(value));
  const member = (name: string, bytes: Uint8Array) => ({ name, size: bytes.length, pieces: () => [bytes] });
  const zip = zipFile([
    member('metadata.json', text({ keras_version: newest(model.kerasVersion, KERAS) })),
    member('config.json', text({ ...architecture, compile_config: null })),
    { name: WEIGHTS_MEMBER, size: h5.bytes, pieces: () => h5.pieces() },
  ]);
  return { pieces: () => zip.pieces(), bytes: zip.bytes, int4, decoded };
}

function nothingToKeep(model: ModelSource, decoded: KerasInt4File['decoded']): BitnibbleError {
  const coded = decoded.find(({ wasCoded }) => wasCoded);
  const why = coded ? `${coded.id}: ${coded.reason}` : 'no weight is codes: quantize it first, with int4';
  const what = `no weight of Dense, EinsumDense or Embedding can be stored as int4 of Keras's own (${why})`;
  return new BitnibbleError('unsupported-layer', `${model.file}: ${what}`);
}

const tensorOf = (model: MaybeCoded, id: string): QuantizedTensor | undefined => {
  const own = model.weight?.(id);
  return own?.kind === 'quantized' ? own.tensor : undefined;
};

/** The later of two versions. */
function newest(given: string, least: string): string {
  const numbers = (version: string) => version.split('.').map(Number);
  const [a, b] = [numbers(given), numbers(least)];
  const at = b.findIndex((number, i) => (a[i] ?? 0) !== number);
  return at >= 0 && (a[at] ?? 0) > (b[at] as number) ? given : least;
}

/** A copy of the architecture, as `.keras` files have it. */
function keras3Architecture(model: ModelSource): JsonObject {
  const { file, kerasVersion } = model;
  const architecture = structuredClone(requireArchitecture(model));
  const isKeras3 = typeof architecture.module === 'string' || kerasVersion.startsWith('3.');
  if (!isKeras3 || /^[12]\./.test(kerasVersion))
    throw new BitnibbleError(
      'unsupported-version',
      `${file}: its architecture is Keras ${kerasVersion || '2'}'s, expected Keras 3's: load it in Keras 3 and save it as .keras`,
    );
  if (typeof architecture.module === 'string') return architecture;
  const visit = (layers: readonly LayerNode[]) => {
    for (const { entry, config, name, isModel, children } of layers) {
      if (entry.module === undefined) {
        const className = String(entry.class_name);
        const isKnown = operationOf(className) !== undefined || knowsClass(className);
        // Operations cannot be trained.
        const isLayer = className === 'InputLayer' || (isKnown && 'trainable' in config);
        if (!isModel && !isLayer)
          throw new BitnibbleError(
            'unsupported-version',
            `${file}: a .h5 file does not say which module ${className} (${name}) is of, which a .keras file has to: save the model as .keras and quantize that`,
          );
        addModule(entry, isModel);
      }
      visit(children);
    }
  };
  visit(layerTree(architecture, file));
  addModule(architecture, true);
  return architecture;
}

/** What `.keras` files say of a class and `.h5` files leave out. */
function addModule(entry: JsonObject, isModel: boolean): void {
  const isSequential = entry.class_name === 'Sequential';
  if (entry.class_name === 'GroupedQueryAttention') entry.class_name = 'GroupQueryAttention';
  entry.module = !isModel ? 'keras.layers' : isSequential ? 'keras' : 'keras.src.models.functional';
  entry.registered_name ??= isModel && !isSequential ? 'Functional' : null;
}

const KERNELS: Readonly<Record<string, 'kernel' | 'embeddings'>> = {
  Dense: 'kernel',
  EinsumDense: 'kernel',
  Embedding: 'embeddings',
};

/** A weight as int4, or why it is not. */
function choose(model: MaybeCoded, place: Place, weight: WeightInfo): Chosen | string {
  const tensor = tensorOf(model, weight.id);
  if (!tensor) return 'it is no codes in the source';
  const { className, config, part, wrapper } = place;
  const base = KERNELS[className];
  if (!place.isKeras || base === undefined || weight.name !== base)
    return `Keras has int4 for Dense, EinsumDense and Embedding, not for ${base === weight.name ? `${className} of another package` : `${weight.name} of ${className}`}`;
  if (wrapper !== undefined) return `inside of ${wrapper}, Keras computes with the codes and without scales`;
  if (tensor.coding.scheme !== 'int4') return `it is ${tensor.coding.scheme}, and Keras has 4 bits alone`;
  if (floatPolicy(config.dtype) === undefined) return 'its dtype policy is none of plain floats';
  if (part === undefined && String(config.equation).includes('.'))
    return 'Keras has no int4 for an EinsumDense whose equation has an ellipsis';
  const rows = rowsOf(place, part, tensor.shape);
  if (rows === undefined) return `the equation ${String(config.equation)} is of another form than Keras's`;
  const arrays = int4Arrays(tensor, rows, base);
  return typeof arrays === 'string' ? arrays : { base, arrays };
}

/** Rows of the matrix that Keras makes of a kernel. */
function rowsOf(
  { className, config }: Place,
  part: string | undefined,
  shape: readonly number[],
): number | undefined {
  if (part !== undefined) return sizeOf(shape.slice(0, part === 'attention_output' ? 2 : 1));
  return className === 'EinsumDense' ? einsumRows(config.equation, shape) : shape[0];
}

/** Puts the policies of int4 into the configurations of layers, and of attention layers around some. */
function usePolicies(chosen: ReadonlyMap<Place, Chosen>): void {
  const maps = new Map<JsonObject, { source: string; parts: Map<string, JsonObject> }>();
  for (const [{ config, part, layerName }, { arrays }] of chosen) {
    const source = floatPolicy(maps.has(config) ? maps.get(config)?.source : config.dtype) as string;
    const policy = int4Policy(source, arrays.blockSize);
    if (part === undefined) {
      config.dtype = policy;
      config.quantization_config = int4Config(arrays.blockSize);
      continue;
    }
    const map = maps.get(config) ?? { source, parts: new Map<string, JsonObject>() };
    maps.set(config, map);
    map.parts.set(partPattern(layerName, part), policy);
  }
  for (const [config, { source, parts }] of maps) config.dtype = policyMap(source, parts);
}

/** The groups of the weights file: places of weights, and objects without. */
function groupsOf(
  model: ModelSource,
  places: readonly (Place | StoredObject)[],
  chosen: ReadonlyMap<Place, Chosen>,
): Hdf5Group {
  const root: Hdf5Group = { members: new Map() };
  for (const place of places) {
    let group = root;
    for (const name of place.path.split('/')) {
      const members = group.members as Map<string, Hdf5Group>;
      // Every object has its `vars`, with or without variables; lists of layers have none.
      const isObject = !/^(layers|cells)$/.test(name);
      const next = members.get(name) ?? {
        members: new Map(isObject ? [['vars', { members: new Map() }]] : []),
      };
      members.set(name, next);
      group = next;
    }
    const arrays = 'weights' in place ? variablesOf(model, place, chosen.get(place)) : [];
    const vars: Hdf5Group = {
      ...(place.name === undefined ? {} : { attributes: { name: place.name } }),
      members: new Map(arrays.map((array, i) => [String(i), array])),
    };
    (group.members as Map<string, Hdf5Group>).set('vars', vars);
  }
  return root;
}

/** Variables of a layer in the order of its `save_own_variables`: codes, bias, scale, and with blocks zeros and index. */
function variablesOf(model: ModelSource, { weights }: Place, chosen: Chosen | undefined): Hdf5Dataset[] {
  const floats = (list: readonly WeightInfo[]) => list.map((weight) => decodedArray(model, weight));
  if (!chosen) return floats(weights);
  const { base, arrays } = chosen;
  const { rows, columns, blockSize, scale } = arrays;
  const array = (dtype: Dtype, shape: readonly number[], make: () => ArrayBufferView): Hdf5Dataset => ({
    ...{ dtype, shape },
    values: () => [bytesOf(make())],
  });
  const blocks =
    blockSize === undefined
      ? []
      : [
          array('I8', scale.shape, () => new Int8Array(sizeOf(scale.shape))),
          array('F32', [base === 'kernel' ? rows : columns], () =>
            blockIndex(base === 'kernel' ? rows : columns, blockSize),
          ),
        ];
  return [
    array('I8', [rows, Math.ceil(columns / 2)], arrays.codes),
    ...floats(weights.filter(({ name }) => name !== base)),
    array('F32', scale.shape, () => scale.values),
    ...blocks,
  ];
}

/** A weight as numbers: of its own type, and of float32 where it was codes. */
function decodedArray(model: ModelSource, { id, shape, dtype }: WeightInfo): Hdf5Dataset {
  const stored = tensorOf(model, id) ? 'F32' : (STORED[dtype] ?? dtype);
  return {
    ...{ dtype: stored, shape },
    *values() {
      const values = model.read(id);
      for (let from = 0; from < values.length; from += PIECE)
        yield fromNumbers(values.subarray(from, from + PIECE), stored);
    },
  };
}
