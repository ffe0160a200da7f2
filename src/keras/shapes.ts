import type { Json, JsonObject } from '../model.js';
import { isObject, type LayerNode } from './config.js';

/** A tensor's shape, the batch first; null where it is not fixed. */
export type TensorShape = readonly (number | null)[];

const SAME = new Set([
  'Activation',
  'ActivityRegularization',
  'AlphaDropout',
  'BatchNormalization',
  'Dropout',
  'ELU',
  'GaussianDropout',
  'GaussianNoise',
  'GroupNormalization',
  'LayerNormalization',
  'LeakyReLU',
  'Masking',
  'Normalization',
  'PReLU',
  'ReLU',
  'Rescaling',
  'Softmax',
  'SpatialDropout1D',
  'SpatialDropout2D',
  'SpatialDropout3D',
  'ThresholdedReLU',
  'UnitNormalization',
  'RandomFlip',
  'RandomRotation',
  'RandomZoom',
  'RandomContrast',
  'RandomTranslation',
]);
const MERGES = new Set(['Add', 'Average', 'Maximum', 'Minimum', 'Multiply', 'Subtract']);

function numbers(value: Json | undefined): number[] | undefined {
  if (typeof value === 'number') return [value];
  return Array.isArray(value) && value.every((n) => typeof n === 'number') ? (value as number[]) : undefined;
}

/** `n` sliding windows of `size` along an axis: `ceil(n / stride)` with padding, else `floor((n - size) / stride) + 1`. */
function windows(
  n: number | null,
  size: number,
  stride: number,
  dilation: number,
  padding: Json | undefined,
): number | null {
  if (n === null) return null;
  if (padding === 'same') return Math.ceil(n / stride);
  const reach = padding === 'causal' ? 1 : (size - 1) * dilation + 1;
  return Math.floor((n - reach) / stride) + 1;
}

/** Applies `f` to every spatial axis and puts `channels` where the data format says. */
function spatial(
  input: TensorShape,
  config: JsonObject,
  f: (n: number | null, axis: number) => number | null,
  channels?: number | null,
): TensorShape {
  const first = config.data_format === 'channels_first';
  const from = first ? 2 : 1;
  const kept = channels === undefined ? (input[first ? 1 : input.length - 1] ?? null) : channels;
  const inner = input.slice(from, first ? input.length : input.length - 1).map(f);
  return first ? [input[0] ?? null, kept, ...inner] : [input[0] ?? null, ...inner, kept];
}

function repeat(value: Json | undefined, fallback: number): (axis: number) => number {
  const list = numbers(value);
  return (axis) => list?.[list.length === 1 ? 0 : axis] ?? fallback;
}

function product(dims: TensorShape): number | null {
  return dims.includes(null) ? null : (dims as number[]).reduce((a, b) => a * b, 1);
}

/** Shapes of one rank side by side: 1 gives way to any length. Of several ranks: not followed here. */
function spread(shapes: readonly TensorShape[]): TensorShape | undefined {
  const [first = []] = shapes;
  if (shapes.some(({ length }) => length !== first.length)) return undefined;
  return first.map((_, i) => {
    const sizes = shapes.map((shape) => shape[i]).filter((n) => n !== 1);
    return sizes.length === 0 ? 1 : (sizes.find((n) => n !== null) ?? null);
  });
}

/** Output shape of one layer; undefined where the class is not known here. */
function outputShape(layer: LayerNode, inputs: readonly TensorShape[]): TensorShape | undefined {
  const { config } = layer;
  const className = layer.className;
  const given = config.batch_shape ?? config.batch_input_shape;
  if (className === 'InputLayer') {
    return Array.isArray(given) ? (given as (number | null)[]) : undefined;
  }
  const input = inputs[0] ?? (Array.isArray(given) ? (given as (number | null)[]) : undefined);
  if (!input) return undefined;
  const batch = input[0] ?? null;
  if (SAME.has(className)) return input;
  if (MERGES.has(className)) return spread(inputs);
  const size = repeat(config.kernel_size ?? config.pool_size ?? config.pool_length, 1);
  const stride = repeat(config.strides ?? config.stride ?? config.subsample ?? config.pool_size, 1);
  const dilation = repeat(config.dilation_rate, 1);
  const padding = config.padding ?? config.border_mode;
  const slide = (n: number | null, axis: number) =>
    windows(n, size(axis), stride(axis), dilation(axis), padding);
  if (/^(Separable)?(Conv|Convolution)[123]D$/.test(className)) {
    return spatial(input, config, slide, (config.filters as number | undefined) ?? null);
  }
  if (/^DepthwiseConv[12]D$/.test(className)) {
    const channels = input[config.data_format === 'channels_first' ? 1 : input.length - 1] ?? null;
    return spatial(
      input,
      config,
      slide,
      channels === null ? null : channels * Number(config.depth_multiplier ?? 1),
    );
  }
  if (/^Conv[123]DTranspose$/.test(className)) {
    const grow = (n: number | null, axis: number) =>
      n === null
        ? null
        : n * stride(axis) + (padding === 'same' ? 0 : Math.max(size(axis) - stride(axis), 0));
    return config.output_padding ? undefined : spatial(input, config, grow, Number(config.filters));
  }
  if (/^(Max|Average)Pooling[123]D$/.test(className)) return spatial(input, config, slide);
  if (/^Global(Max|Average)Pooling[123]D$/.test(className)) {
    const channels = input[config.data_format === 'channels_first' ? 1 : input.length - 1] ?? null;
    return config.keepdims === true ? spatial(input, config, () => 1) : [batch, channels];
  }
  if (/^UpSampling[123]D$/.test(className)) {
    const times = repeat(config.size, 2);
    return spatial(input, config, (n, axis) => (n === null ? null : n * times(axis)));
  }
  if (/^ZeroPadding2D$/.test(className) && Array.isArray(config.padding)) {
    const pads = config.padding.map((pair) => numbers(pair)?.reduce((a, b) => a + b, 0) ?? 0);
    return spatial(input, config, (n, axis) => (n === null ? null : n + (pads[axis] ?? 0)));
  }
  if (className === 'Dense') return [...input.slice(0, -1), Number(config.units ?? config.output_dim)];
  if (className === 'Flatten') return [batch, product(input.slice(1))];
  if (className === 'Reshape') {
    const target = numbers(config.target_shape) ?? [];
    const known = target.filter((n) => n !== -1).reduce((a, b) => a * b, 1);
    const total = product(input.slice(1));
    return [batch, ...target.map((n) => (n === -1 ? (total === null ? null : total / known) : n))];
  }
  if (className === 'Permute') return [batch, ...(numbers(config.dims) ?? []).map((d) => input[d] ?? null)];
  if (className === 'RepeatVector') return [batch, Number(config.n), ...input.slice(1)];
  if (className === 'Embedding') return [...input, Number(config.output_dim)];
  if (/^(CuDNN)?(LSTM|GRU)$|^SimpleRNN$/.test(className)) {
    const units = Number(config.units ?? config.output_dim);
    return config.return_sequences === true ? [batch, input[1] ?? null, units] : [batch, units];
  }
  if (className.startsWith('Bidirectional/') && layer.children[0]) {
    const one = outputShape({ ...layer.children[0], className: className.slice(14) }, [input]);
    const twice = config.merge_mode === 'concat' ? 2 : 1;
    const last = one?.at(-1);
    return one && [...one.slice(0, -1), last == null ? null : last * twice];
  }
  if (className.startsWith('TimeDistributed/') && layer.children[0]) {
    const inner = { ...layer.children[0], className: className.slice(16) };
    const one = outputShape(inner, [[batch, ...input.slice(2)]]);
    return one && [batch, input[1] ?? null, ...one.slice(1)];
  }
  if (className === 'Concatenate') {
    const axis = (Number(config.axis ?? -1) + input.length) % input.length;
    const sum = inputs
      .map((shape) => shape[axis])
      .reduce<number | null>((a, b) => (a === null || b == null ? null : a + b), 0);
    return input.map((n, i) => (i === axis ? sum : n));
  }
  return undefined;
}

/** Names of the layers that each call of a layer takes its inputs from, in Keras 2's and Keras 3's nodes. */
function sources(layer: LayerNode): string[] {
  const found: string[] = [];
  const visit = (value: Json | undefined): void => {
    if (Array.isArray(value)) {
      if (typeof value[0] === 'string' && typeof value[1] === 'number') found.push(value[0]);
      else value.forEach(visit);
    } else if (isObject(value)) {
      const history = isObject(value.config) ? value.config.keras_history : undefined;
      if (Array.isArray(history)) visit(history);
      else Object.values(value).forEach(visit);
    }
  };
  const nodes = layer.entry.inbound_nodes;
  visit(Array.isArray(nodes) ? nodes[0] : undefined);
  return found;
}

/** Names of the layers that a functional model's outputs come from. */
function endpoints({ config }: LayerNode): string[] {
  const visit = (value: Json | undefined): string[] => {
    if (Array.isArray(value)) return typeof value[0] === 'string' ? [value[0]] : value.flatMap(visit);
    return isObject(value) ? Object.values(value).flatMap(visit) : [];
  };
  return visit(config.output_layers);
}

/** Whether a call of the layer gives several tensors. */
function hasSeveral(layer: LayerNode): boolean {
  const returnsState = [layer, ...layer.children].some(({ config }) => config.return_state === true);
  return layer.isModel ? endpoints(layer).length > 1 : returnsState;
}

/**
 * Output shapes of the layers of a model, by layer, as far as their classes are known here.
 * Sequential models chain; functional ones follow the first call of each layer.
 */
export function outputShapes(
  layers: readonly LayerNode[],
  modelClass: string,
  input?: TensorShape,
): Map<LayerNode, TensorShape> {
  const shapes = new Map<LayerNode, TensorShape>();
  const byName = new Map<string, TensorShape>();
  let previous = input;
  for (const layer of layers) {
    const chained = previous ? [previous] : [];
    const isJoining = MERGES.has(layer.className) || layer.className === 'Concatenate';
    const inputs =
      modelClass === 'Sequential'
        ? chained
        : sources(layer)
            .map((name) => byName.get(name))
            .filter((shape) => shape !== undefined);
    let shape: TensorShape | undefined;
    if (layer.isModel) {
      const inner = outputShapes(layer.children, layer.className, inputs[0]);
      for (const [child, childShape] of inner) shapes.set(child, childShape);
      const output = endpoints(layer)[0];
      const last =
        output === undefined ? layer.children.at(-1) : layer.children.find(({ name }) => name === output);
      shape = last && inner.get(last);
    } else if (!isJoining || modelClass === 'Sequential' || inputs.length === sources(layer).length) {
      shape = outputShape(layer, inputs);
    }
    previous = shape;
    if (shape) {
      shapes.set(layer, shape);
      // Of several outputs only the first has this shape, and calls are told apart by their layer alone.
      if (!hasSeveral(layer)) byName.set(layer.name, shape);
    }
  }
  return shapes;
}
