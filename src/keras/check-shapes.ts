import { BitnibbleError } from '../errors.js';
import type { Json, WeightInfo } from '../model.js';
import type { LayerNode } from './config.js';

/** `kernel_size`, which Keras writes as a number or a list. */
function sizes(value: Json | undefined): readonly number[] {
  const list = typeof value === 'number' ? [value] : value;
  return Array.isArray(list) && list.every((n) => typeof n === 'number') ? (list as number[]) : [];
}

const GATES: ReadonlyMap<string, number> = new Map([
  ['LSTM', 4],
  ['GRU', 3],
  ['SimpleRNN', 1],
]);

/** What is looked at of a layer. */
type Stated = Pick<LayerNode, 'className' | 'config'>;

type Lengths = [axis: number, length: Json | undefined][];

/** Lengths along the first axes of a kernel, where there is one for each spatial axis. */
function window(value: Json | undefined, rank: number): Lengths {
  const size = sizes(value);
  return size.length === rank - 2 ? size.map((length, axis) => [axis, length]) : [];
}

/**
 * Axes whose lengths the architecture states: `units` and gates, `filters` and `kernel_size` of convolutions, tokens.
 * Pairs of axis and length; none where nothing is known.
 */
function stated({ className, config }: Stated, { name, shape }: WeightInfo): Lengths {
  const rank = shape.length;
  const last = rank - 1;
  const { units, filters, depth_multiplier: multiplier, kernel_size: size } = config;
  if (name === 'bias') return rank === 1 && /^(Dense|Conv\d)/.test(className) ? [[0, units ?? filters]] : [];
  if (className === 'Dense') return name === 'kernel' ? [[last, units]] : [];
  if (className === 'Embedding' && name === 'embeddings' && rank === 2)
    return [
      [0, config.input_dim],
      [1, config.output_dim],
    ];
  const gates = GATES.get(className);
  if (gates !== undefined && rank === 2 && typeof units === 'number') {
    if (name === 'kernel') return [[1, gates * units]];
    return name === 'recurrent_kernel'
      ? [
          [0, units],
          [1, gates * units],
        ]
      : [];
  }
  const [, kind, axes] = /^(Depthwise|Separable)?Conv([123])D(?:Transpose)?$/.exec(className) ?? [];
  if (axes === undefined || rank !== Number(axes) + 2) return [];
  if (name === 'pointwise_kernel') return [[last, filters]];
  if (name === 'depthwise_kernel' || (kind && name === 'kernel'))
    return [...window(size, rank), [last, multiplier]];
  if (name !== 'kernel') return [];
  return [...window(size, rank), [className.endsWith('Transpose') ? rank - 2 : last, filters]];
}

/**
 * Compares a weight's shape with what its layer's configuration says of it.
 * @throws BitnibbleError `shape-mismatch`
 */
export function checkShape(file: string, layer: Stated, weight: WeightInfo): void {
  const wrong = stated(layer, weight).find(
    ([axis, length]) => typeof length === 'number' && weight.shape[axis] !== length,
  );
  if (!wrong) return;
  const [axis, length] = wrong;
  throw new BitnibbleError(
    'shape-mismatch',
    `${file}: expected length ${length} along axis ${axis} as the architecture says, got shape [${weight.shape}] (tensor ${weight.id})`,
  );
}
