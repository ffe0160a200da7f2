import { BitnibbleError } from '../errors.js';
import type { JsonObject, ModelInfo, WeightInfo } from '../model.js';
import { classOf } from './config.js';
import { declaredByModel, declaredShape, inputType, requireLengths, uniqueNames } from './declared.js';
import { Draft } from './draft.js';
import { modelFault } from './faults.js';
import { fromKeras1, isKeras1 } from './keras1.js';
import { dtypeName, type InnerModel, type Layer, layerOf, trainingOf } from './layer.js';
import { maskInputs, withMasks, withTruth } from './masked-calls.js';
import { usesMask } from './masks.js';
import {
  type Call,
  entriesOf,
  type Graph,
  type GraphLayer,
  isMaskRole,
  type KeyedRef,
  nameOf,
  OPERATION,
  type Ref,
  readGraph,
} from './notation.js';
import { integerResult } from './operations/integers.js';
import { type Application, withoutSteps } from './operations/operation.js';
import { integerType, outputType, valueType } from './operations/tensor-operation.js';
import { keyOf, MAX_DEPTH, orderOf, versionOf } from './order.js';
import { neededNodes } from './passes/needed.js';
import type { Network, Port, Value } from './types.js';
import { byRole, shapeFault, weightsByLayer } from './weights.js';

/** More nodes than this are taken for a fault of the file: models inside models are taken apart for each of their calls. */
const MAX_NODES = 100_000;

/**
 * Reads the architecture of a model of any Keras, from 1 on, as a network.
 *
 * @param weights of the model in the order in which its layers store them, as Keras 2 on TensorFlow has them: see
 *   `modernWeights`
 * @throws BitnibbleError `no-model-config` where the file holds weights alone, `corrupt-file` for layers that are called
 *   on their own outputs; what else cannot be computed is in {@link Network.problems}
 */
export function readNetwork(model: ModelInfo, weights: readonly WeightInfo[] = []): Network {
  return new Reader(model, weights).network();
}

/** What a model inside was given and how. */
interface Place {
  /** Path of its layers: empty, or the names of the models around them, each with `/`. */
  readonly path: string;
  readonly steps: number;
  readonly isTraining: boolean;
  readonly depth: number;
}

class Reader {
  readonly #draft: Draft;
  readonly #weights: ReadonlyMap<string, readonly WeightInfo[]>;
  readonly #hasWeights: boolean;
  readonly #architecture: JsonObject;

  constructor(
    readonly model: ModelInfo,
    weights: readonly WeightInfo[],
  ) {
    const { architecture } = model;
    if (!architecture) {
      throw new BitnibbleError(
        'no-model-config',
        `${model.file}: the file holds weights and no architecture: expected a whole model, saved with model.save`,
      );
    }
    this.#architecture = isKeras1(model) ? fromKeras1(architecture) : architecture;
    this.#draft = new Draft(versionOf(model) >= 3);
    this.#weights = weightsByLayer(weights);
    this.#hasWeights = weights.length > 0;
  }

  network(): Network {
    const entry = this.#architecture;
    const name = nameOf(entry, 'model');
    const graph = this.#graph(entry);
    const inputs = this.#inputsOf(entry, graph, name);
    const given = inputs.map(({ value }) => ({ value }));
    const place = { path: '', steps: 0, isTraining: false, depth: 0 };
    const outputs = this.#level(entry, graph, given, place);
    const missing = inputs.length === 0 ? 'inputs' : outputs.length === 0 ? 'outputs' : undefined;
    const fault = modelFault(entry) ?? (missing && `it has no ${missing}`);
    if (fault !== undefined) this.#draft.problem(name, classOf(entry), fault);
    // Of a model inside, only some of the outputs may be needed.
    return neededNodes({
      name,
      values: this.#draft.values,
      nodes: this.#draft.nodes,
      inputs,
      outputs: uniqueNames(outputs),
      problems: this.#draft.problems,
    });
  }

  #graph(entry: JsonObject): Graph {
    if (entriesOf(entry).length === 0 && entry.class_name !== 'Sequential') {
      throw new BitnibbleError(
        'no-model-config',
        `${this.model.file}: expected the architecture of a Sequential or Functional model, got class ${String(entry.class_name)} without layers`,
      );
    }
    return readGraph(entry, this.#draft.isKeras3);
  }

  /** The inputs of the whole model. */
  #inputsOf(entry: JsonObject, graph: Graph, name: string): Port[] {
    const ports: Port[] = [];
    const byName = new Map(graph.layers.map((layer) => [layer.name, layer]));
    for (const ref of graph.inputs) {
      const layer = byName.get(ref.layer);
      const isInput = layer?.entry.class_name === 'InputLayer';
      const shape = layer && (isInput ? declaredShape(layer.entry) : declaredByModel(entry));
      requireLengths(shape, ref.layer, this.model.file);
      const type = inputType(layer?.entry);
      const dtype = valueType(type);
      if (!shape)
        this.#draft.problem(name, String(entry.class_name), 'it does not say which shape its input has');
      else if (isInput && dtype === 'string')
        this.#draft.problem(ref.layer, 'InputLayer', 'values of type string');
      const own = ref.key ?? (isInput ? ref.layer : `${name}_input`);
      ports.push({ name: own, value: this.#draft.value(shape, dtype, undefined, integerType(type)) });
    }
    return ports;
  }

  /** Makes the calls of one model; gives its outputs. */
  #level(
    entry: JsonObject,
    graph: Graph,
    given: readonly { readonly value: number; readonly key?: string | undefined }[],
    place: Place,
  ): { readonly name: string; readonly value: number; readonly key?: string }[] {
    const label = place.path.slice(0, -1) || nameOf(entry, 'model');
    const made = new Map<string, readonly number[]>();
    const isSequential = entry.class_name === 'Sequential';
    const calls = orderOf(graph, nameOf(entry, String(entry.class_name)), this.model.file, 'needed');
    const starts = new Map<string, number>();
    graph.inputs.forEach((ref, i) => {
      // Dictionaries of tensors are matched by their keys, lists by their places.
      const own = ref.key === undefined ? undefined : given.find(({ key }) => key === ref.key);
      const value = (own ?? given[i])?.value;
      if (value !== undefined) starts.set(ref.layer, value);
    });
    for (const layer of graph.layers) {
      const value = starts.get(layer.name);
      if (value === undefined || (isSequential && layer.calls.length > 0)) continue;
      if (layer.calls.length === 0 || layer.entry.class_name === 'InputLayer')
        made.set(keyOf(layer.name, 0), [this.#narrowed(value, layer)]);
    }
    const first = isSequential ? graph.layers[0] : undefined;
    const uses = new Map<string, number>();
    for (const { layer, call, tensor } of graph.layers.flatMap((own) =>
      own.calls.flatMap((one) => one.inputs),
    )) {
      const key = `${keyOf(layer, call)} ${tensor}`;
      uses.set(key, (uses.get(key) ?? 0) + 1);
    }
    /** While a model runs with a mask, Keras 3 hangs it on the model's own input, where others find it or not, as they come. */
    const isHung = (call: Call, inputs: readonly number[]) =>
      call.roles.some(isMaskRole) &&
      call.inputs.some(
        ({ layer, call: own, tensor }, i) =>
          !isMaskRole(call.roles[i] as string) &&
          this.#draft.masks[inputs[i] as number] === undefined &&
          ((uses.get(`${keyOf(layer, own)} ${tensor}`) ?? 0) > 1 || (place.depth > 0 && starts.has(layer))),
      );
    const resolve = (ref: KeyedRef): number | undefined => made.get(keyOf(ref.layer, ref.call))?.[ref.tensor];
    for (const [layer, index] of calls) {
      const key = keyOf(layer.name, index);
      if (made.has(key)) continue;
      const call = layer.calls[index] as Call;
      const isStart = layer === first && call.inputs.length === 0;
      const inputs = isStart ? given.map(({ value }) => value) : call.inputs.map(resolve);
      const missing = inputs.indexOf(undefined);
      if (missing >= 0) {
        const ref = call.inputs[missing] as Ref;
        const what = `it is called on output ${ref.tensor} of call ${ref.call} of ${ref.layer}, which is not there`;
        this.#draft.problem(place.path + layer.name, String(layer.entry.class_name), what);
        continue;
      }
      const own = isStart ? { ...call, roles: inputs.map(() => 'x') } : call;
      if (layer.isModel && this.#draft.isKeras3 && isHung(call, inputs as number[]))
        this.#draft.problem(
          place.path + layer.name,
          String(layer.entry.class_name),
          'the argument mask with a tensor that others take too',
        );
      made.set(key, this.#call(layer, own, inputs as number[], place));
    }
    return graph.outputs.flatMap((ref) => {
      const value = resolve(ref);
      if (value !== undefined)
        return [{ name: ref.key ?? ref.layer, value, ...(ref.key ? { key: ref.key } : {}) }];
      if (!this.#draft.problems.some(({ layer }) => layer.startsWith(place.path)))
        this.#draft.problem(label, String(entry.class_name), `its output ${ref.layer} is not there`);
      return [];
    });
  }

  /** A value with the lengths that an inner model states where the outer one leaves them open. */
  #narrowed(value: number, { entry, name }: GraphLayer): number {
    const own = this.#draft.values[value] as Value;
    const shape = declaredShape(entry);
    requireLengths(shape, name, this.model.file);
    if (!shape || own.shape?.length !== shape.length) return value;
    const merged = own.shape.map((n, i) => n ?? (i === 0 ? null : (shape[i] ?? null)));
    this.#draft.values[value] = { ...own, shape: merged };
    return value;
  }

  #call(layer: GraphLayer, call: Call, inputs: readonly number[], place: Place): readonly number[] {
    const path = place.path + layer.name;
    const isTraining = place.isTraining || call.isTraining;
    const found = layerOf(layer.entry, this.#draft.isKeras3, call.flags);
    const isKnown = found.kind === 'model' || found.operation !== undefined;
    if (isKnown) for (const reason of call.problems) this.#draft.problem(path, found.className, reason);
    if (found.kind === 'model')
      return this.#model(found, call, inputs, { ...place, path: `${path}/`, isTraining });
    if (layer.entry.class_name === 'InputLayer') return inputs;
    return this.#apply(found, call, inputs, path, place.steps + found.steps, isTraining);
  }

  #model(inner: InnerModel, call: Call, inputs: readonly number[], place: Place): readonly number[] {
    if (place.depth >= MAX_DEPTH)
      throw new BitnibbleError(
        'corrupt-file',
        `${this.model.file}: models are nested more than ${MAX_DEPTH} deep`,
      );
    const at = place.path.slice(0, -1);
    const own = withMasks(this.#draft, call, inputs, at, inner.className, place.steps);
    const given = own.map(({ value, index }) => ({ value, key: call.inputs[index]?.key }));
    const graph = this.#graph(inner.entry);
    if (graph.inputs.length !== given.length)
      this.#draft.problem(
        at,
        inner.className,
        `a call with ${given.length} inputs, it takes ${graph.inputs.length}`,
      );
    const next = { ...place, steps: place.steps + inner.steps, depth: place.depth + 1 };
    const before = own.map(({ value }) => this.#draft.masks[value]);
    // TimeDistributed gives a model one step of the mask: nothing that layers which use masks could take.
    const isMasked = own.some(({ mask }) => mask !== undefined);
    for (const { value, mask } of own)
      if (mask) this.#draft.masks[value] = inner.steps > 0 ? undefined : mask;
    const first = this.#draft.nodes.length;
    const outputs = this.#level(inner.entry, graph, given, next).map(({ value }) => value);
    if (
      isMasked &&
      inner.steps > 0 &&
      this.#draft.nodes.slice(first).some((node) => usesMask(node.operation))
    )
      this.#draft.problem(at, inner.className, 'a mask inside TimeDistributed');
    own.forEach(({ value, mask }, i) => {
      if (mask) this.#draft.masks[value] = before[i];
    });
    if (this.#draft.isKeras3)
      for (const value of outputs) {
        const mask = this.#draft.masks[value];
        if (typeof mask === 'object') this.#draft.masks[value] = { ...mask, isLate: true };
      }
    return outputs;
  }

  #apply(
    found: Layer,
    call: Call,
    taken: readonly number[],
    layer: string,
    steps: number,
    isTraining: boolean,
  ): readonly number[] {
    if (this.#draft.nodes.length >= MAX_NODES)
      throw new BitnibbleError('corrupt-file', `${this.model.file}: more than ${MAX_NODES} calls of layers`);
    const { name, operation, attributes, className, config } = found;
    for (const reason of found.problems) this.#draft.problem(layer, className, reason);
    const own = withMasks(this.#draft, call, taken, layer, className, steps - found.steps);
    const roles = own.map(({ role }) => role);
    const called = own.map(({ value }) => value);
    const inputs = withTruth(this.#draft, found.name, called, roles, layer);
    if (isTraining && config.trainable !== false && operation?.isTrained?.(config))
      this.#draft.problem(layer, className, 'a call with training=True');
    const shapes = inputs.map((value) => withoutSteps(this.#draft.values[value]?.shape, steps));
    const { isKeras3 } = this.#draft;
    const types = inputs.map((value) => this.#draft.values[value]?.dtype ?? 'float32');
    const application: Application = { attributes, shapes, roles, isKeras3 };
    const fault = found.problems.length === 0 ? operation?.fault?.(application) : undefined;
    if (fault !== undefined) this.#draft.problem(layer, className, fault);
    const given = inputs.map((value) => this.#draft.values[value] as Value);
    const whole = integerResult(name, operation, attributes, given, isKeras3);
    if (whole.fault !== undefined && fault === undefined && found.problems.length === 0)
      this.#draft.problem(layer, className, whole.fault);
    // Keras 3 casts floats to the type of a layer, whatever it is.
    const policy = this.#draft.isKeras3 ? integerType(dtypeName(config.dtype)) : undefined;
    const isLayer = operation && !name.startsWith(OPERATION) && name !== 'Embedding';
    const areWhole = given.every(({ integer, dtype }) => integer ?? dtype === 'bool');
    if (policy && isLayer && !(whole.type && areWhole))
      this.#draft.problem(layer, className, `values of type ${policy}`);
    const masks = own.map(({ value, mask }) => mask ?? this.#draft.masks[value]);
    const isGiven = own[0]?.mask !== undefined;
    const { used, result } = maskInputs(this.#draft, found, inputs, roles, masks, isGiven, layer, steps);
    const made =
      found.problems.length === 0 && fault === undefined ? operation?.shape(application) : undefined;
    const outer = this.#draft.values[inputs[0] as number]?.shape?.slice(0, steps + 1);
    const count = made?.length ?? MOST_OUTPUTS;
    const dtype = operation ? outputType(operation, attributes, types) : 'float32';
    const outputs = Array.from({ length: count }, (_, i) => {
      const shape = made?.[i];
      return this.#draft.value(
        shape && steps > 0 && outer ? [...outer, ...shape.slice(1)] : shape,
        dtype,
        result,
        whole.type,
      );
    });
    this.#draft.nodes.push({
      operation: name,
      attributes,
      inputs: [...inputs, ...used.map(({ value }) => value)],
      roles: [...roles, ...used.map(({ role }) => role)],
      outputs,
      weights: this.#weightsOf(found, application, layer),
      layer,
      className,
      steps,
      training: trainingOf(config),
    });
    if (call.inputs.length === 0 && inputs.length === 0)
      this.#draft.problem(layer, className, 'it is never called');
    return outputs;
  }

  /** Ids of a layer's weights by role; what the file says otherwise is a problem. */
  #weightsOf(
    { operation, className, behind, problems }: Layer,
    given: Application,
    layer: string,
  ): Record<string, string> {
    if (!this.#hasWeights || !operation || problems.length > 0 || operation.weights === 'any') return {};
    const roles = [...(operation.weights?.(given) ?? []), ...behind];
    const found = this.#weights.get(layer) ?? [];
    const used = byRole(roles, found);
    if (!used) {
      const needed = roles.filter(({ isUnused }) => !isUnused).length;
      const once = found.length === 0 && this.#draft.isKeras3 ? STORED_ONCE : '';
      const what = `layer ${layer} (${className}) expected ${needed} weights, got ${found.length}${once}`;
      this.#draft.problem(layer, className, what, 'missing-weight');
      return {};
    }
    const ids: Record<string, string> = {};
    for (const { weight, role, shape } of used) {
      const fault = shapeFault(weight, shape);
      if (fault)
        this.#draft.problem(layer, className, `layer ${layer} (${className}) ${fault}`, 'shape-mismatch');
      ids[role] = weight.id;
    }
    return ids;
  }
}

/** Why a layer of Keras 3 may have no weights at all: `findings/keras-shared-across-models.sh`. */
const STORED_ONCE =
  '; a .keras file stores a layer once that models within models share, and Keras cannot load it either: save it as .h5';

/** Outputs that a layer of an unknown class may have. */
const MOST_OUTPUTS = 8;
