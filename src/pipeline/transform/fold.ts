import { fromNumbers, toFloat32 } from '../../formats/dtypes.js';
import type { JsonObject, ModelSource, WeightInfo } from '../../model.js';
import type { GraphLayer } from '../../tfjs/graph.js';
import { type KernelView, scaleKernel, type WeightLayer, weightLayer } from './kernel-view.js';
import { isNorm, type Norm, normOf } from './norm.js';
import { callKey, type Edits, editedArchitecture } from './rewire.js';
import { type Scaling, TransformedModel } from './transformed-model.js';
import { activationName, type Core, coreOf, type Level, labelOf, levelsOf, ranksOf } from './wiring.js';

export interface FoldOptions {
  /**
   * Keeps every layer and weight: the normalization becomes `y = x + beta`, so that the values can be written back into
   * the model's own Keras file. Default: the normalization goes, the layer before it gets a bias.
   */
  readonly keepLayers?: boolean;
}

/** A batch normalization that was folded. */
export interface FoldedNorm {
  /** The normalization, and the layer it went into. */
  readonly norm: string;
  readonly layer: string;
  readonly className: string;
  /** Largest scale of a channel over the smallest, zeros aside: what folding adds to the spread of the kernel. */
  readonly spread: number;
}

/** A layer that a transform left as it was. */
export interface LeftLayer {
  readonly layer: string;
  readonly className: string;
  readonly why: string;
}

export interface FoldResult {
  readonly source: TransformedModel;
  readonly folded: readonly FoldedNorm[];
  readonly left: readonly LeftLayer[];
}

/** A layer with weights before a normalization. */
interface Producer {
  readonly path: string;
  readonly layer: GraphLayer;
  readonly core: Core;
  readonly weights: WeightLayer;
}

/**
 * Folds batch normalizations into the layers before them: `W' = W scale`, `b' = b scale + shift` per output channel, with
 * `scale = gamma / sqrt(variance + epsilon)`, `shift = beta - mean scale`. Jacob et al., Quantization and Training of
 * Neural Networks for Efficient Integer-Arithmetic-Only Inference, CVPR 2018, section 3.2.
 *
 * Only where outputs stay the same: the layer (Dense, convolutions of all kinds) has no activation, all its calls go to
 * this normalization and nowhere else, and the normalized axis is that of its channels. Every other normalization is in
 * `left` with the reason. Tensors are computed when they are read; `source` must stay open. New values are float32.
 *
 * @throws BitnibbleError `corrupt-file` for an architecture that cannot be read
 */
export function foldBatchNorm(source: ModelSource, options: FoldOptions = {}): FoldResult {
  const keepLayers = options.keepLayers === true;
  let result = foldOnce(source, keepLayers);
  // A normalization behind a normalization is next to the layer now.
  for (let more = !keepLayers && result.folded.length > 0; more; ) {
    const next = foldOnce(result.source, keepLayers);
    more = next.folded.length > 0;
    if (more) result = { ...next, folded: [...result.folded, ...next.folded] };
  }
  return result;
}

function foldOnce(source: ModelSource, keepLayers: boolean): FoldResult {
  const levels = levelsOf(source);
  const fold = new Fold(source, keepLayers);
  for (const level of levels ?? []) for (const layer of level.layers) fold.visit(level, layer);
  const seen = new Set([...fold.folded.map(({ norm }) => norm), ...fold.left.map(({ layer }) => layer)]);
  for (const { layer, className } of source.weights) {
    if (seen.has(layer) || !isNorm(className.split('/').at(-1))) continue;
    seen.add(layer);
    const why = levels ? 'it is part of another layer' : 'the file holds no architecture';
    fold.left.push({ layer, className, why });
  }
  return { source: fold.result(), folded: fold.folded, left: fold.left };
}

class Fold {
  readonly folded: FoldedNorm[] = [];
  readonly left: LeftLayer[] = [];
  readonly #byLayer = new Map<string, WeightInfo[]>();
  readonly #ids: ReadonlySet<string>;
  readonly #ranks: ReadonlyMap<JsonObject, number>;
  readonly #edits: Edits = { removed: new Set(), replaced: new Map(), config: new Map() };
  readonly #scaled = new Map<string, Scaling>();
  readonly #values = new Map<string, ArrayLike<number>>();
  /** Biases to come behind kernels, by the kernel's id. */
  readonly #biases = new Map<string, WeightInfo>();
  readonly #gone = new Set<string>();

  constructor(
    readonly source: ModelSource,
    readonly keepLayers: boolean,
  ) {
    for (const weight of source.weights) {
      const list = this.#byLayer.get(weight.layer);
      if (list) list.push(weight);
      else this.#byLayer.set(weight.layer, [weight]);
    }
    this.#ids = new Set(source.weights.map(({ id }) => id));
    this.#ranks = ranksOf(source);
  }

  visit(level: Level, layer: GraphLayer): void {
    const core = coreOf(layer.entry);
    const className = labelOf(layer.entry);
    if (!/(^|\W)(Sync)?BatchNormalization(V\d)?$/.test(className)) return;
    const path = level.path + layer.name;
    const why = isNorm(core.className)
      ? this.#fold(level, layer, core, path)
      : `the class ${className} is not Keras's own`;
    if (why !== undefined) this.left.push({ layer: path, className, why });
  }

  result(): TransformedModel {
    const { architecture } = this.source;
    const weights = this.source.weights.flatMap((weight): WeightInfo[] => {
      if (this.#gone.has(weight.layer)) return [];
      const isChanged = this.#scaled.has(weight.id) || this.#values.has(weight.id);
      if (this.keepLayers || !isChanged) return [weight];
      const own: WeightInfo = { ...weight, dtype: 'F32' };
      const bias = this.#biases.get(weight.id);
      if (!bias) return [own];
      return [{ ...own, ...(weight.config ? { config: { ...weight.config, use_bias: true } } : {}) }, bias];
    });
    return new TransformedModel(this.source, {
      architecture: architecture && editedArchitecture(architecture, this.#edits),
      weights,
      scaled: this.#scaled,
      values: this.#values,
    });
  }

  /** Folds one normalization, or says why not. */
  #fold(level: Level, layer: GraphLayer, core: Core, path: string): string | undefined {
    const weights = this.#byLayer.get(path) ?? [];
    const producers = this.#producers(level, layer, core);
    if (typeof producers === 'string') return producers;
    const norm = normOf(this.source, core, weights);
    if (typeof norm === 'string') return norm;
    const channels = norm.scale.length;
    for (const { path: name, weights: own } of producers) {
      const { outputs } = own.kernels.at(-1) as KernelView;
      if (outputs !== channels) return `it has ${channels} channels, ${name} has ${outputs}`;
    }
    const problem = this.keepLayers ? this.#keep(norm) : undefined;
    if (problem) return problem;
    for (const producer of producers) this.#into(producer, norm);
    if (!this.keepLayers) this.#remove(level, layer, path);
    const sizes = norm.scale.map(Math.abs).filter((size) => size > 0);
    const spread = sizes.length === 0 ? 1 : Math.max(...sizes) / Math.min(...sizes);
    for (const { path: name, layer: producer } of producers)
      this.folded.push({ norm: path, layer: name, className: labelOf(producer.entry), spread });
    return undefined;
  }

  /** The layers before a normalization, all of whose outputs go into it. */
  #producers(level: Level, layer: GraphLayer, core: Core): Producer[] | string {
    const names = new Set<string>();
    if (layer.calls.length === 0) return 'it is never called';
    for (const { inputs, problems } of layer.calls) {
      const [ref, second] = inputs;
      if (problems[0] !== undefined) return problems[0];
      if (!ref || second) return ref ? 'it has several inputs' : 'it is the first layer';
      names.add(ref.layer);
    }
    const producers: Producer[] = [];
    for (const name of names) {
      const before = level.layer(name);
      if (!before) return `its input ${name} is not in the architecture`;
      const label = before.isModel ? 'a model' : labelOf(before.entry);
      if (before.isModel || before.calls.length === 0) return `its input comes from ${name} (${label})`;
      const own = coreOf(before.entry);
      const weights = weightLayer(own, this.#byLayer.get(level.path + name) ?? []);
      if (typeof weights === 'string') return `its input comes from ${name} (${label}): ${weights}`;
      const activation = activationName(own.config.activation);
      if (activation !== 'linear') return `the activation ${activation} of ${name} is before it`;
      const taken = before.calls.flatMap((_, call) => level.consumers(name, call));
      if (taken.includes('output')) return `${name} before it is an output of the model`;
      const other = taken.find((consumer) => consumer !== 'output' && consumer.layer !== layer);
      if (other && other !== 'output') return `${name} before it also goes to ${other.layer.name}`;
      const axis = this.#axisFault(layer, core, own, weights);
      if (axis) return axis;
      producers.push({ path: level.path + name, layer: before, core: own, weights });
    }
    return producers;
  }

  /** Why the normalized axis is not that of the channels. */
  #axisFault(layer: GraphLayer, core: Core, before: Core, { kernels }: WeightLayer): string | undefined {
    const given = core.config.axis ?? -1;
    const [axis, second] = Array.isArray(given) ? given : [given];
    if (typeof axis !== 'number' || second !== undefined)
      return `it normalizes the axes ${JSON.stringify(given)}`;
    const isFirst = before.config.data_format === 'channels_first' && before.className !== 'Dense';
    const kernelRank = (kernels[0] as KernelView).weight.shape.length;
    // A convolution's output has the rank of its kernel; a dense layer's is that of its input.
    const own = before.className === 'Dense' ? undefined : kernelRank + before.depth;
    const rank = own ?? this.#ranks.get(layer.entry);
    if (axis === -1 && !isFirst) return undefined;
    if (rank === undefined) return `it normalizes axis ${axis} of an unknown number of axes`;
    const at = axis < 0 ? axis + rank : axis + core.depth;
    const wanted = isFirst ? 1 + before.depth : rank - 1;
    return at === wanted ? undefined : `it normalizes axis ${at}, channels lie along axis ${wanted}`;
  }

  #into({ path, core, weights }: Producer, { scale, shift }: Norm): void {
    const view = weights.kernels.at(-1) as KernelView;
    const { id } = view.weight;
    this.#scaled.set(id, (values, from) => scaleKernel(view, values, from, undefined, scale));
    const { bias } = weights;
    const before = bias && this.source.read(bias.id);
    const rest = this.keepLayers ? undefined : shift;
    const values = Float64Array.from(scale, (s, c) => (before?.[c] ?? 0) * s + (rest?.[c] ?? 0));
    if (bias) this.#values.set(bias.id, values);
    if (bias || this.keepLayers) return;
    const config = { ...(view.weight.config ?? core.config), use_bias: true };
    const base = `${id.slice(0, id.lastIndexOf('/') + 1) || `${path}/`}bias`;
    let own = base;
    for (let n = 2; this.#ids.has(own); n++) own = `${base}#${n}`;
    const info: WeightInfo = {
      ...view.weight,
      id: own,
      name: 'bias',
      shape: [scale.length],
      dtype: 'F32',
      config,
    };
    this.#biases.set(id, info);
    this.#values.set(own, values);
    this.#edits.config.set(core.entry, { use_bias: true });
  }

  /** Makes the normalization add `beta` and nothing else; says why that cannot be. */
  #keep({ scale, shift, epsilon, gamma, beta, mean, variance }: Norm): string | undefined {
    const one = Math.fround(1 - epsilon);
    const [stored] = toFloat32(fromNumbers([one], variance.dtype), variance.dtype);
    // sqrt(variance + epsilon) has to be 1 in float32, as Keras computes it.
    if (!(epsilon < 1) || Math.fround((stored as number) + Math.fround(epsilon)) !== 1)
      return `a moving variance of 1 - ${epsilon} cannot be stored as ${variance.dtype}`;
    const zeros = new Float64Array(scale.length);
    if (gamma)
      this.#values.set(
        gamma.id,
        zeros.map(() => 1),
      );
    this.#values.set(
      variance.id,
      zeros.map(() => one),
    );
    this.#values.set(mean.id, beta ? zeros : shift.map((value) => -value));
    if (beta) this.#values.set(beta.id, shift);
    return undefined;
  }

  #remove(level: Level, layer: GraphLayer, path: string): void {
    this.#edits.removed.add(layer.entry);
    this.#gone.add(path);
    const replaced = this.#edits.replaced.get(level.entry) ?? new Map();
    this.#edits.replaced.set(level.entry, replaced);
    layer.calls.forEach(({ inputs: [ref] }, call) => {
      if (ref) replaced.set(callKey(layer.name, call), ref);
    });
  }
}
