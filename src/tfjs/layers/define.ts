import type { Tensor, TensorFlow } from '../types.js';

/** Shape with the batch axis; null where it is not known. */
export type Shape = (number | null)[];

/** Registered classes are `bitnibble>GRU` and so on: no name of TensorFlow.js, of Keras or of somebody else's layer is taken. */
export const PREFIX = 'bitnibble>';

/** What a layer computes with. */
export interface Context<C> {
  readonly tf: TensorFlow;
  /** Of the layer. */
  readonly name: string;
  readonly config: C;
  readonly inputs: readonly Tensor[];
  /** Values of a weight by the name that {@link LayerSpec.weights} gave it. */
  readonly weight: (name: string) => Tensor;
  readonly has: (name: string) => boolean;
}

/** A weight to be: name in the layer, shape, whether Keras trains it. */
export type WeightSpec = readonly [
  name: string,
  shape: readonly (number | null | undefined)[],
  trainable?: boolean,
];

/** An inference-only layer as data. `C` is its Keras config in camel case, which is how TensorFlow.js hands it over. */
export interface LayerSpec<C = unknown> {
  /** Keras's class name. */
  readonly className: string;
  weights?(config: C, shapes: readonly Shape[]): readonly WeightSpec[];
  /** Default: the first input's shape. */
  outputShape?(config: C, shapes: readonly Shape[]): Shape | Shape[];
  call(context: Context<C>): Tensor | Tensor[];
}

/** A spec whose config type is forgotten, for lists of specs. */
export function spec<C>(value: LayerSpec<C>): LayerSpec {
  return value as LayerSpec as LayerSpec<unknown>;
}

const listOf = <T>(value: T | T[]): T[] => (Array.isArray(value) ? value : [value]);
const shapesOf = (shape: Shape | Shape[]): Shape[] =>
  Array.isArray(shape[0]) ? (shape as Shape[]) : [shape as Shape];

type Variable = ReturnType<InstanceType<TensorFlow['layers']['Layer']>['addWeight']>;

/** Registers the layer of a spec with TensorFlow.js. */
export function defineLayer(tf: TensorFlow, layer: LayerSpec): void {
  class Defined extends tf.layers.Layer {
    static className = PREFIX + layer.className;
    readonly #config: Record<string, unknown>;
    readonly #weights = new Map<string, Variable>();

    constructor(config: Record<string, unknown>) {
      super(config);
      const { customObjects: _, ...own } = config;
      this.#config = own;
    }

    override build(shape: Shape | Shape[]): void {
      for (const [name, dims, trainable = true] of layer.weights?.(this.#config, shapesOf(shape)) ?? []) {
        const size = dims.map((n) => {
          if (typeof n !== 'number' || !Number.isInteger(n)) {
            throw new RangeError(
              `layer ${this.name} expected input axes of known size, got [${String(shape)}]`,
            );
          }
          return n;
        });
        const variable = this.addWeight(name, size, 'float32', tf.initializers.zeros(), undefined, trainable);
        this.#weights.set(name, variable);
      }
      this.built = true;
    }

    override computeOutputShape(shape: Shape | Shape[]): Shape | Shape[] {
      const shapes = shapesOf(shape);
      return layer.outputShape?.(this.#config, shapes) ?? [...(shapes[0] ?? [])];
    }

    override call(inputs: Tensor | Tensor[]): Tensor | Tensor[] {
      return tf.tidy(() =>
        layer.call({
          ...{ tf, name: this.name },
          config: this.#config,
          inputs: listOf(inputs),
          has: (name) => this.#weights.has(name),
          weight: (name) => {
            const variable = this.#weights.get(name);
            if (!variable) throw new RangeError(`layer ${this.name} has no weight ${name}`);
            return variable.read();
          },
        }),
      );
    }

    override getConfig(): ReturnType<InstanceType<TensorFlow['layers']['Layer']>['getConfig']> {
      return { ...(this.#config as object), ...super.getConfig() };
    }
  }
  tf.serialization.registerClass(Defined);
}

/** Axis counted from the start. */
export function positiveAxis(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis;
}

/** A number for every axis, or a list of them. */
export function perAxis(
  value: number | readonly number[] | null | undefined,
  rank: number,
  fallback: number,
): number[] {
  if (typeof value === 'number') return Array(rank).fill(value) as number[];
  if (!value) return Array(rank).fill(fallback) as number[];
  return value.length === 1 ? (Array(rank).fill(value[0]) as number[]) : [...value];
}

/** `channelsFirst` is what TensorFlow.js makes of Keras's `channels_first`. */
export interface DataFormat {
  readonly dataFormat?: 'channelsFirst' | 'channelsLast';
}

export const isFirst = (config: DataFormat): boolean => config.dataFormat === 'channelsFirst';

/** Channels to the last axis, where they are not there already. */
export function channelsLast(tf: TensorFlow, x: Tensor, config: DataFormat): Tensor {
  if (!isFirst(config)) return x;
  return tf.transpose(x, [0, ...Array.from({ length: x.rank - 2 }, (_, i) => i + 2), 1]);
}

/** The way back from {@link channelsLast}. */
export function channelsBack(tf: TensorFlow, x: Tensor, config: DataFormat): Tensor {
  if (!isFirst(config)) return x;
  return tf.transpose(x, [0, x.rank - 1, ...Array.from({ length: x.rank - 2 }, (_, i) => i + 1)]);
}

/** A shape with its spatial axes changed, and its channels where given. */
export function spatialShape(
  config: DataFormat,
  shape: Shape,
  change: (n: number, axis: number) => number,
  channels?: number,
): Shape {
  const first = isFirst(config);
  const from = first ? 2 : 1;
  const inner = shape
    .slice(from, first ? undefined : -1)
    .map((n, axis) => (n === null ? null : change(n, axis)));
  const kept = channels ?? (first ? shape[1] : shape.at(-1)) ?? null;
  return first ? [shape[0] ?? null, kept, ...inner] : [shape[0] ?? null, ...inner, kept];
}

/** Number of channels of a shape. */
export const channelsOf = (config: DataFormat, shape: Shape): number | null =>
  (isFirst(config) ? shape[1] : shape.at(-1)) ?? null;
