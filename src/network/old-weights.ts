// Weights as Keras 2 on TensorFlow has them, out of those that Keras 1 or Theano left.
// Source: `preprocess_weights_for_loading` of Keras 2.0 to 2.3, keras/engine/saving.py.
import { BitnibbleError } from '../errors.js';
import { UniqueNames } from '../formats/unique.js';
import { isObject, type JsonObject, type ModelSource, type WeightInfo } from '../model.js';
import { sizeOf } from '../shape.js';
import { entriesOf, isModel, nameOf } from './entries.js';
import { KERAS_1_CLASSES } from './keras1.js';
import { isKeras1 } from './version.js';

/** A weight, and how its values come about. */
interface OldWeight {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: () => Float32Array;
}

/** Axes in another order: axis `i` of the result is axis `order[i]`. */
function transposed({ name, shape, values }: OldWeight, order: readonly number[]): OldWeight {
  const target = order.map((axis) => shape[axis] as number);
  const steps = order.map((axis) => sizeOf(shape.slice(axis + 1)));
  return {
    name,
    shape: target,
    values: () => {
      const from = values();
      const out = new Float32Array(from.length);
      const index = target.map(() => 0);
      for (let to = 0, at = 0; to < out.length; to++) {
        out[to] = from[at] as number;
        for (let axis = target.length - 1; axis >= 0; axis--) {
          at += steps[axis] as number;
          index[axis] = (index[axis] as number) + 1;
          if ((index[axis] as number) < (target[axis] as number)) break;
          at -= (steps[axis] as number) * (target[axis] as number);
          index[axis] = 0;
        }
      }
      return out;
    },
  };
}

/** Theano convolves where TensorFlow correlates: all spatial axes of `(..., in, out)` turned round. */
function turned(weight: OldWeight): OldWeight {
  const block = sizeOf(weight.shape.slice(-2));
  return {
    ...weight,
    values: () => {
      const from = weight.values();
      const out = new Float32Array(from.length);
      for (let at = 0; at < from.length; at += block)
        out.set(from.subarray(at, at + block), from.length - at - block);
      return out;
    },
  };
}

/** Gates side by side: `(..., units)` each. */
function joined(name: string, gates: readonly OldWeight[]): OldWeight {
  const [first] = gates as [OldWeight];
  const units = first.shape.at(-1) as number;
  const width = units * gates.length;
  return {
    name,
    shape: [...first.shape.slice(0, -1), width],
    values: () => {
      const out = new Float32Array(sizeOf(first.shape) * gates.length);
      for (const [g, gate] of gates.entries()) {
        const from = gate.values();
        for (let row = 0; row * units < from.length; row++)
          out.set(from.subarray(row * units, (row + 1) * units), row * width + g * units);
      }
      return out;
    },
  };
}

/** Kernels of the layers that Theano turns round, as `(..., in, out)`. */
const TURNED = /^(Conv[123]D|Conv2DTranspose|ConvLSTM2D)$/;
/** Places of the gates as Keras 1 stores them: LSTM's are `i, c, f, o` and come to be `i, f, c, o`; GRU's `z, r, h` stay. */
const GATES: ReadonlyMap<string, readonly number[]> = new Map(
  Object.entries({ LSTM: [0, 2, 1, 3], GRU: [0, 1, 2] }),
);
/** Order of a kernel's axes by class, of `dim_ordering: "th"` and else. */
const ORDERS: ReadonlyMap<string, { readonly th: readonly number[]; readonly tf?: readonly number[] }> =
  new Map(
    Object.entries({
      Conv2D: { th: [2, 3, 1, 0] },
      Conv3D: { th: [2, 3, 4, 1, 0] },
      Conv2DTranspose: { th: [2, 3, 0, 1], tf: [0, 1, 3, 2] },
      SeparableConv2D: { th: [2, 3, 1, 0] },
    }),
  );

/** The kernel of a Convolution1D is `(length, 1, in, out)`, before Keras 1.1 `(out, in, length, 1)`. */
function oneDimensional(
  kernel: OldWeight,
  { nb_filter: filters, filter_length: length }: JsonObject,
): OldWeight {
  const [first, second, , last] = kernel.shape;
  const isNew = first === length && second === 1 && last === filters;
  const ordered = isNew ? kernel : transposed(kernel, [2, 3, 1, 0]);
  return { ...ordered, shape: [ordered.shape[0] ?? 0, ...ordered.shape.slice(2)] };
}

/** The weights of one layer of Keras 1, in order. */
function fromKeras1(
  weights: readonly OldWeight[],
  given: string,
  config: JsonObject,
  isTheano: boolean,
): OldWeight[] {
  const className = KERAS_1_CLASSES.get(given) ?? given;
  const gates = GATES.get(className);
  if (gates && weights.length === 3 * gates.length) {
    return ['kernel', 'recurrent_kernel', 'bias'].map((name, i) =>
      joined(
        name,
        gates.map((gate) => weights[3 * gate + i] as OldWeight),
      ),
    );
  }
  const orders = ORDERS.get(className);
  const order = config.dim_ordering === 'th' ? orders?.th : orders?.tf;
  return weights.map((weight) => {
    if (weight.shape.length < 2) return weight;
    if (className === 'Conv1D') return turnedIf(isTheano, oneDimensional(weight, config));
    const ordered = order ? transposed(weight, order) : weight;
    return turnedIf(isTheano && TURNED.test(className), ordered);
  });
}

/** Classes of Keras 1 that are stored as they are run. */
const UNCHANGED = /^(Dense|Embedding)$/;

/**
 * The weights of {@link modernWeights} that are the model's own, values and all: every one, but for Keras 1 and Theano those
 * of Dense and Embedding alone.
 */
export function ownWeights(source: ModelSource, modern: ModelSource): ReadonlyMap<string, WeightInfo> {
  const own = source.weights.filter(({ className }) => modern === source || UNCHANGED.test(className));
  return new Map(own.map((weight) => [weight.id, weight]));
}

const turnedIf = (condition: boolean, weight: OldWeight) => (condition ? turned(weight) : weight);

/** Configurations of layers by their path, of wrappers that of the layer inside. */
function configsByPath(model: JsonObject, prefix = '', found = new Map<string, JsonObject>()) {
  for (const [i, entry] of entriesOf(model).entries()) {
    let inner = entry;
    for (let held = wrapped(inner); held; held = wrapped(inner)) inner = held;
    const path = prefix + nameOf(entry, `layer_${i}`);
    if (isModel(inner)) configsByPath(inner, `${path}/`, found);
    else found.set(path, isObject(inner.config) ? inner.config : {});
  }
  return found;
}

function wrapped({ config }: JsonObject): JsonObject | undefined {
  return isObject(config) && isObject(config.layer) ? config.layer : undefined;
}

/**
 * A model whose weights are those that Keras 2 on TensorFlow would have after loading it: gates of Keras 1 joined,
 * kernels of `dim_ordering: "th"` transposed, kernels of Theano turned round. Any other model as it is.
 */
export function modernWeights(source: ModelSource): ModelSource {
  const isOld = isKeras1(source);
  const isTheano = source.backend === 'theano';
  if (!source.architecture || !(isOld || isTheano)) return source;
  const read = ({ id, name, shape }: WeightInfo): OldWeight => ({
    name,
    shape,
    values: () => source.read(id),
  });
  const configs = configsByPath(source.architecture);
  const groups = new Map<string, WeightInfo[]>();
  for (const weight of source.weights) {
    const group = groups.get(weight.layer);
    if (group) group.push(weight);
    else groups.set(weight.layer, [weight]);
  }
  const ids = new UniqueNames();
  const values = new Map<string, () => Float32Array>();
  const weights: WeightInfo[] = [];
  for (const [layer, group] of groups) {
    const { className } = group[0] as WeightInfo;
    const inner = className.split('/').at(-1) as string;
    const config = configs.get(layer) ?? {};
    const own = group.map(read);
    const half = own.length / 2;
    const parts = /^Bidirectional\b/.test(className) ? [own.slice(0, half), own.slice(half)] : [own];
    const modern = isOld
      ? parts.flatMap((part) => fromKeras1(part, inner, config, isTheano))
      : own.map((weight) =>
          turnedIf(TURNED.test(inner) && /^(recurrent_)?kernel$/.test(weight.name), weight),
        );
    for (const { name, shape, values: make } of modern) {
      const id = ids.of(`${layer}/${name}`);
      values.set(id, make);
      weights.push({ id, layer, className, name, shape, dtype: 'F32' });
    }
  }
  return {
    file: source.file,
    architecture: source.architecture,
    kerasVersion: source.kerasVersion,
    backend: source.backend,
    weights,
    read: (id) => {
      const make = values.get(id);
      if (!make) throw new BitnibbleError('missing-weight', `${source.file}: no weight named ${id}`);
      return make();
    },
  };
}
