import { BitnibbleError } from '../errors.js';
import type { Json, WeightInfo } from '../model.js';
import type { LayerNode } from './config.js';

/** `kernel_size`, which Keras writes as a number or a list. */
function sizes(value: Json | undefined): readonly number[] {
  const list = typeof value === 'number' ? [value] : value;
  return Array.isArray(list) && list.every((n) => typeof n === 'number') ? (list as number[]) : [];
}

/**
 * Axes whose lengths the architecture states: `units` of Dense, `filters` and `kernel_size` of convolutions.
 * Pairs of axis and length; none where nothing is known.
 */
function stated(
  { className, config }: LayerNode,
  { name, shape }: WeightInfo,
): [axis: number, length: number][] {
  const channels = config.units ?? config.filters;
  if (typeof channels !== 'number') return [];
  const rank = shape.length;
  if (name === 'bias') return rank === 1 && /^(Dense|Conv\d)/.test(className) ? [[0, channels]] : [];
  if (name !== 'kernel') return [];
  if (className === 'Dense') return [[rank - 1, channels]];
  const convolution = /^Conv([123])D(Transpose)?$/.exec(className);
  if (!convolution || rank !== Number(convolution[1]) + 2) return [];
  const size = sizes(config.kernel_size);
  return [
    [convolution[2] ? rank - 2 : rank - 1, channels],
    ...(size.length === rank - 2 ? size.map((length, axis): [number, number] => [axis, length]) : []),
  ];
}

/**
 * Compares a weight's shape with what its layer's configuration says of it.
 * @throws BitnibbleError `shape-mismatch`
 */
export function checkShape(file: string, layer: LayerNode, weight: WeightInfo): void {
  const wrong = stated(layer, weight).find(([axis, length]) => weight.shape[axis] !== length);
  if (!wrong) return;
  const [axis, length] = wrong;
  throw new BitnibbleError(
    'shape-mismatch',
    `${file}: expected length ${length} along axis ${axis} as the architecture says, got shape [${weight.shape}] (tensor ${weight.id})`,
  );
}
