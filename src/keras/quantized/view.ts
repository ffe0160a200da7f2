import { BitnibbleError } from '../../errors.js';
import { isFloat } from '../../formats/dtypes.js';
import { DTYPE_BYTES, type Json, type JsonObject } from '../../model.js';
import { sizeOf } from '../../shape.js';
import { checkShape } from '../check-shapes.js';
import { isObject } from '../config.js';
import type { KerasWeight, LeftOut } from '../keras-weight.js';
import { plainClass } from '../variables.js';
import { type CodedArray, type StoredArray, storedBytes } from './coded-array.js';
import { decodeArray, isObstacle, type LayerKind, type QuantizedLayer } from './kernels.js';
import { FLOAT8_STATE } from './names.js';
import { plainPolicy, policyBefore, quantizedPolicy } from './policies.js';

/** Weights as floats, whatever the file has. */
export interface FloatView {
  readonly weights: readonly KerasWeight[];
  readonly leftOut: readonly LeftOut[];
}

const ATTENTION = /^(MultiHeadAttention|Group(ed)?QueryAttention)$/;
const KINDS: ReadonlyMap<string, LayerKind> = new Map([
  ['Dense', 'dense'],
  ['EinsumDense', 'einsum'],
  ['Embedding', 'embedding'],
  ['ReversibleEmbedding', 'embedding'],
]);
const BASES = ['kernel', 'embeddings', 'reverse_embeddings'];
const FLOAT8 = 'state of float8 training';
const NAMES: ReadonlyMap<string, string> = new Map([
  ['quantized_kernel', 'kernel'],
  ['zero_point', 'kernel_zero'],
]);

const folderOf = (path: string) => path.slice(0, path.lastIndexOf('/'));

/**
 * The weights of a model in which those that Keras quantized, or gave LoRA adapters, are the float values that it
 * computes with: `kernel` for codes and scales. The configurations of layers whose weights all are floats then get the
 * policy that they had before, so that all that follows sees ordinary layers. State of float8 training is left out: its
 * kernels are floats in the file.
 *
 * Codes that cannot be decoded stay what they are, and say why; so do their layers' policies.
 *
 * @param architecture of the model; its layers' configurations are changed
 * @throws BitnibbleError `missing-weight` for what Keras did not write, `shape-mismatch` for arrays that do not go
 *   together, `unsupported-layer` for adapters whose `lora_alpha` is not in the file
 */
export function floatView(
  weights: readonly KerasWeight[],
  architecture: JsonObject | undefined,
  file: string,
): FloatView {
  const groups = new Map<string, KerasWeight[]>();
  for (const weight of weights) {
    const folder = folderOf(weight.path);
    const group = groups.get(folder);
    if (group) group.push(weight);
    else groups.set(folder, [weight]);
  }
  const isPlain = ([, group]: [string, KerasWeight[]]) =>
    group.every(({ name, dtype }) => isFloat(dtype) && !name.startsWith('lora_') && name !== FLOAT8_STATE[1]);
  if ([...groups].every(isPlain) && !architectureIsQuantized(architecture)) return { weights, leftOut: [] };
  const inputs = inputShapes(architecture);
  const leftOut: LeftOut[] = [];
  const kept = new Set<JsonObject>();
  const done = new Set<KerasWeight>();
  const out: KerasWeight[] = [];
  for (const weight of weights) {
    if (done.has(weight)) continue;
    const group = groups.get(folderOf(weight.path)) ?? [weight];
    for (const one of group) done.add(one);
    const view = new LayerView(group, weights, inputs, file);
    out.push(...view.weights());
    leftOut.push(...view.leftOut);
    if (view.isKept && weight.config) kept.add(weight.config);
  }
  if (architecture) useFloats(architecture, kept);
  return { weights: out, leftOut };
}

/** The weights of one layer, or of a part of one: what lies in one folder of the file. */
class LayerView {
  readonly leftOut: LeftOut[] = [];
  /** Codes stay codes. */
  isKept = false;
  readonly #byName: ReadonlyMap<string, KerasWeight>;

  constructor(
    readonly group: readonly KerasWeight[],
    readonly all: readonly KerasWeight[],
    readonly inputs: ReadonlyMap<JsonObject, Json>,
    readonly file: string,
  ) {
    this.#byName = new Map(group.map((weight) => [NAMES.get(weight.name) ?? weight.name, weight]));
  }

  weights(): readonly KerasWeight[] {
    const adapted = BASES.filter((base) => this.#byName.has(`lora_${base}_a`));
    const coded = BASES.filter(
      (base) => /^[IU]8$/.test(this.#byName.get(base)?.dtype ?? '') && this.#isQuantized(base),
    );
    if (this.#byName.has('inputs_amax_history')) return this.#withoutState();
    if (adapted.length === 0 && coded.length === 0) return this.group;
    const layer = this.#layer();
    const values = new Map<string, KerasWeight>();
    for (const base of new Set([...coded, ...adapted])) {
      const made = this.#values(layer, base, coded.includes(base), adapted.includes(base));
      if (typeof made === 'string') return this.#keep(made, layer.mode);
      values.set(base, made);
    }
    if (adapted.length > 0) removeAdapters(this.group[0]?.config);
    const used = /(_scale|_zero|^awq_scales|^g_idx|^zero_point)$|^lora_/;
    const others = this.group.filter(({ name }) => !values.has(NAMES.get(name) ?? name) && !used.test(name));
    return [...values.values(), ...others];
  }

  #isQuantized(base: string): boolean {
    return this.#byName.has(`${base}_scale`) || quantizedPolicy(this.group[0]?.config?.dtype) !== undefined;
  }

  #withoutState(): readonly KerasWeight[] {
    const kept: KerasWeight[] = [];
    for (const weight of this.group) {
      const { id, name, shape, dtype } = weight;
      if (FLOAT8_STATE.includes(name)) this.leftOut.push({ id, shape, reason: FLOAT8 });
      else if (name === 'kernel')
        kept.push({ ...weight, stored: { as: 'float8', bytes: sizeOf(shape) * DTYPE_BYTES[dtype] } });
      else kept.push(weight);
    }
    return kept;
  }

  /** The group as it is, with the reason. */
  #keep(reason: string, mode: string | undefined): readonly KerasWeight[] {
    this.isKept = true;
    const kept = `codes of Keras's own quantization, and ${reason}`;
    return this.group.map((weight) => {
      const bytes = sizeOf(weight.shape) * DTYPE_BYTES[weight.dtype];
      return {
        ...weight,
        ...(weight.name === 'bias' ? {} : { stored: { as: mode ?? 'quantized', bytes, kept } }),
      };
    });
  }

  #layer(): QuantizedLayer {
    const [{ id, className, config }] = this.group as [KerasWeight];
    const inner = plainClass(className.split('/').at(-1) as string);
    const isOther = (className.split('/').at(-1) as string).includes('>');
    const owner = id.slice(0, id.lastIndexOf('/'));
    const part = owner.slice(owner.lastIndexOf('/') + 1);
    const isAttention = ATTENTION.test(inner);
    const around = owner.slice(0, owner.lastIndexOf('/'));
    const bias = (name: string) => this.all.find((weight) => weight.id === `${around}/${name}/bias`)?.shape;
    const heads = isAttention ? { query: bias('query'), value: bias('value') } : {};
    const kind = isAttention ? 'attention' : (KINDS.get(inner) ?? 'unknown');
    return {
      kind: isOther ? 'unknown' : kind,
      mode: isAttention ? undefined : quantizedPolicy(config?.dtype)?.mode,
      config: config ?? {},
      input: config && !isAttention ? this.inputs.get(config) : undefined,
      part,
      heads: {
        ...(heads.query ? { query: heads.query } : {}),
        ...(heads.value ? { value: heads.value } : {}),
      },
      arrays: this.#byName as ReadonlyMap<string, StoredArray>,
    };
  }

  /** A weight of floats, or why its codes stay. */
  #values(layer: QuantizedLayer, base: string, isCoded: boolean, isAdapted: boolean): KerasWeight | string {
    const weight = this.#byName.get(base);
    if (!weight) throw this.#fault('missing-weight', `has adapters and no ${base}`);
    const decoded = isCoded ? decodeArray(layer, base) : plainArray(weight);
    if (isObstacle(decoded)) {
      const { kind, reason } = decoded;
      if (kind === 'unknown' || (kind === 'wrong' && weight.guessed)) return reason;
      throw this.#fault(kind === 'lost' ? 'missing-weight' : 'shape-mismatch', reason);
    }
    const coded = isAdapted ? { ...decoded, ...this.#adapter(layer, base, decoded) } : decoded;
    const mode = isCoded ? modeText(layer.mode, coded) : undefined;
    const as = [mode, isAdapted ? 'lora' : undefined].filter((text) => text !== undefined).join(' and ');
    const value: KerasWeight = {
      ...weight,
      name: base,
      shape: coded.shape,
      dtype: 'F32',
      coded,
      stored: { as, bytes: storedBytes(coded) },
    };
    if (layer.kind !== 'attention' && !weight.guessed)
      checkShape(this.file, { className: weight.className, config: layer.config }, value);
    return value;
  }

  /** `alpha / rank * a b`: as `kernel` of Dense, EinsumDense and BaseConv, `embeddings` of Embedding. */
  #adapter({ config, kind }: QuantizedLayer, base: string, { shape }: CodedArray) {
    const a = this.#byName.get(`lora_${base}_a`);
    const b = this.#byName.get(`lora_${base}_b`);
    if (!a || !b) throw this.#fault('missing-weight', `has one of two adapters of ${base}`);
    const [rank = 0, outputs = 0] = b.shape;
    const fits =
      String(a.shape) === String([...shape.slice(0, -1), rank]) &&
      b.shape.length === 2 &&
      outputs === shape.at(-1);
    if (!fits || rank < 1)
      throw this.#fault('shape-mismatch', `has adapters [${a.shape}] and [${b.shape}] of ${base} [${shape}]`);
    const alpha = config.lora_alpha;
    if (kind === 'attention' || typeof alpha !== 'number')
      throw this.#fault(
        'unsupported-layer',
        'has LoRA adapters, and the file does not say their lora_alpha: save the model as .keras, where Keras adds them to the kernel',
      );
    return { adapter: { a, b, factor: alpha / rank } };
  }

  #fault(code: 'missing-weight' | 'shape-mismatch' | 'unsupported-layer', fault: string): BitnibbleError {
    const [{ id }] = this.group as [KerasWeight];
    return new BitnibbleError(code, `${this.file}: layer ${id.slice(0, id.lastIndexOf('/'))}: ${fault}`);
  }
}

/** A plain kernel, to which adapters are added. */
function plainArray(weight: KerasWeight): CodedArray {
  const { shape } = weight;
  const columns = shape.at(-1) ?? 1;
  return { shape, rows: sizeOf(shape) / columns, columns, codes: weight, layout: 'plain', divides: false };
}

function modeText(mode: string | undefined, { codes, layout, scale, rowScales }: CodedArray): string {
  if (mode !== undefined) return mode.replace(/\/-1$/, '');
  if (codes.dtype === 'U8') return rowScales ? 'awq' : 'gptq';
  if (layout === 'plain') return 'int8';
  return scale?.groups ? 'int4 by blocks' : 'int4';
}

function removeAdapters(config: JsonObject | undefined): void {
  if (!config) return;
  delete config.lora_rank;
  delete config.lora_alpha;
}

/** Every object of an architecture that has a class name and a configuration. */
function* entriesOf(value: Json): Generator<{ readonly entry: JsonObject; readonly config: JsonObject }> {
  if (Array.isArray(value)) for (const item of value) yield* entriesOf(item);
  else if (isObject(value)) {
    if (typeof value.class_name === 'string' && isObject(value.config))
      yield { entry: value, config: value.config };
    for (const item of Object.values(value)) yield* entriesOf(item);
  }
}

function architectureIsQuantized(architecture: JsonObject | undefined): boolean {
  if (!architecture) return false;
  for (const { config } of entriesOf(architecture)) if (policyBefore(config.dtype)) return true;
  return false;
}

/**
 * The shapes that layers were built with, by their configuration: as `.keras` files state them, else of the tensor that
 * the layer is called on, else of the layer before it in a Sequential model.
 */
function inputShapes(architecture: JsonObject | undefined): ReadonlyMap<JsonObject, Json> {
  const shapes = new Map<JsonObject, Json>();
  const note = (config: JsonObject, shape: Json | undefined) => {
    if (Array.isArray(shape) && !shapes.has(config)) shapes.set(config, shape);
  };
  for (const { entry, config } of architecture ? entriesOf(architecture) : []) {
    if (isObject(entry.build_config)) note(config, entry.build_config.input_shape);
    note(config, calledOn(entry));
    if (entry.class_name !== 'Sequential' || !Array.isArray(config.layers)) continue;
    let before: Json | undefined;
    for (const layer of config.layers) {
      if (!isObject(layer) || !isObject(layer.config)) break;
      note(layer.config, before);
      before = outputShape(layer, layer.config);
    }
  }
  return shapes;
}

/** The shape of the first tensor that Keras 3 has noted for a layer's first call. */
function calledOn({ inbound_nodes: nodes }: JsonObject): Json | undefined {
  const [call] = Array.isArray(nodes) ? nodes : [];
  const [first] = isObject(call) && Array.isArray(call.args) ? call.args : [];
  const tensor = Array.isArray(first) ? first[0] : first;
  return isObject(tensor) && isObject(tensor.config) ? tensor.config.shape : undefined;
}

/** Where the configuration alone tells it. */
function outputShape(entry: JsonObject, config: JsonObject): Json | undefined {
  if (entry.class_name === 'InputLayer') return config.batch_shape ?? config.batch_input_shape;
  const { output_shape: shape } = config;
  if (entry.class_name !== 'EinsumDense') return undefined;
  return Array.isArray(shape) ? [null, ...shape] : typeof shape === 'number' ? [null, shape] : undefined;
}

/**
 * Refuses to put other values into codes, or into a kernel that adapters are added to.
 * @throws BitnibbleError `unsupported-dtype`
 */
export function requireWritable({ id, coded, stored }: KerasWeight, file: string): void {
  if (!coded) return;
  const what = stored?.as === 'lora' ? 'has LoRA adapters' : `was quantized by Keras (${stored?.as})`;
  throw new BitnibbleError(
    'unsupported-dtype',
    `${file}: tensor ${id} ${what}, so its file cannot take other values: write a packed .safetensors file, or keep the tensor by a recipe`,
  );
}

/** Gives layers the policy that they had before they were quantized, but those whose codes stay. */
function useFloats(architecture: JsonObject, kept: ReadonlySet<JsonObject>): void {
  for (const { config } of entriesOf(architecture)) {
    const before = policyBefore(config.dtype);
    if (before === undefined || kept.has(config)) continue;
    config.dtype = plainPolicy(before);
    if (config.quantization_config) config.quantization_config = null;
  }
}
