import type { JsonObject, WeightInfo } from '../../model.js';
import type { NetworkNode } from '../../network/types.js';
import { activationName } from '../../tfjs/layers/activations.js';
import type { CellName, RnnConfig } from '../../tfjs/layers/recurrent.js';
import { type Calling, convolution, depthwise, separable, transposed } from './convolution.js';
import { einsumDense } from './einsum.js';
import type { Linear } from './linear.js';
import { recurrent } from './recurrent.js';

const CONVOLUTION = /^(Depthwise|Separable)?Conv([123])D(Transpose)?$/;
const CELL = /^(SimpleRNN|LSTM|GRU)$/;

/** Whether kernels of an operation are fitted to samples; of a Bidirectional layer, those of the cells above. */
export const isFitted = (operation: string): boolean =>
  /^(Dense|EinsumDense|Bidirectional)$/.test(operation) ||
  CONVOLUTION.test(operation) ||
  CELL.test(operation);

/** Operations that have kernels and are fitted without data, and why. */
const REASONS: readonly (readonly [RegExp, string])[] = [
  [/Attention$/, 'what its kernels take is known inside of it only'],
  [/^ConvLSTM[123]D$/, 'its steps are convolutions of states, which are not computed'],
];

/**
 * The linear maps of a node, in the order in which they are applied, or why calibration does not know them.
 *
 * @param weights by their role
 * @param takesShift whether a bias may be changed
 */
export function linearsOf(
  { operation, attributes, steps, roles }: NetworkNode,
  weights: ReadonlyMap<string, WeightInfo>,
  takesShift: (bias: WeightInfo) => boolean,
): readonly Linear[] | string {
  const given = weights.get('bias');
  const bias = given && takesShift(given) ? given : undefined;
  const calling: Calling = { isTimed: steps > 0, isFirst: attributes.data_format === 'channels_first' };
  const match = CONVOLUTION.exec(operation);
  const inside = 'a layer inside TimeDistributed is fitted without data';
  const [dense, second] = kernelsOf(operation, weights);
  const isMap = operation === 'Dense' || operation === 'EinsumDense' || match !== null;
  if (isMap && !dense) return 'its kernels are not those of the class';
  // Axes of a dense layer between batch and channels are all alike.
  if (operation === 'Dense')
    return [convolution(dense as WeightInfo, bias, {}, 0, { isTimed: false, isFirst: false })];
  if (steps > 0 && !(match && steps === 1)) return inside;
  if (match) {
    const [, kind, digit, isTransposed] = match;
    const rank = Number(digit);
    if (calling.isTimed && rank === 3) return inside;
    const kernel = dense as WeightInfo;
    if (kind === 'Depthwise') return [depthwise(kernel, bias, attributes, rank, calling)];
    if (kind === 'Separable')
      return second
        ? separable([kernel, second], bias, attributes, rank, calling)
        : 'its kernels are not those of the class';
    return [(isTransposed ? transposed : convolution)(kernel, bias, attributes, rank, calling)];
  }
  if (operation === 'EinsumDense') {
    const map = einsumDense(dense as WeightInfo, bias, attributes);
    return typeof map === 'string' ? map : [map];
  }
  if (CELL.test(operation))
    return oneWay(rnnConfigOf(operation, attributes, roles), attributes, weights, takesShift, '');
  const cell = String(attributes.cell);
  if (operation === 'Bidirectional' && CELL.test(cell)) {
    const found: Linear[] = [];
    for (const way of ['forward', 'backward'] as const) {
      const config = rnnConfigOf(cell, attributes, roles);
      const goBackwards = (config.goBackwards === true) !== (way === 'backward');
      const maps = oneWay({ ...config, goBackwards }, attributes, weights, takesShift, way);
      if (typeof maps === 'string') return maps;
      found.push(...maps);
    }
    return found;
  }
  const name = operation === 'Bidirectional' ? cell : operation;
  const why = REASONS.find(([operations]) => operations.test(name))?.[1];
  return `the class ${name} is fitted without data${why ? `: ${why}` : ''}`;
}

/** Kernels of a layer of one map or two. */
function kernelsOf(operation: string, weights: ReadonlyMap<string, WeightInfo>): (WeightInfo | undefined)[] {
  const isDepthwise = /^(Depthwise|Separable)/.test(operation);
  return [weights.get(isDepthwise ? 'depthwise_kernel' : 'kernel'), weights.get('pointwise_kernel')];
}

/** What `runRnn` needs of a node. */
function rnnConfigOf(cell: string, attributes: JsonObject, roles: readonly string[]): RnnConfig {
  const name = (key: string) => activationName(String(attributes[key] ?? 'linear')) ?? null;
  return {
    cell: cell as CellName,
    units: Number(attributes.units),
    activation: name('activation'),
    recurrentActivation: name('recurrent_activation'),
    useBias: attributes.use_bias !== false,
    resetAfter: attributes.reset_after === true,
    goBackwards: attributes.go_backwards === true,
    returnSequences: attributes.return_sequences === true,
    returnState: attributes.return_state === true,
    zeroOutputForMask: attributes.zero_output_for_mask === true,
    masked: roles.includes('mask'),
  };
}

/** One direction: of a Bidirectional layer the forward one has the first half of the states. */
function oneWay(
  config: RnnConfig,
  { stateful }: JsonObject,
  weights: ReadonlyMap<string, WeightInfo>,
  takesShift: (bias: WeightInfo) => boolean,
  way: '' | 'forward' | 'backward',
): Linear[] | string {
  if (stateful === true) return 'a stateful layer is fitted without data';
  const prefix = way === '' ? '' : `${way}/`;
  const [kernel, own, bias] = ['kernel', 'recurrent_kernel', 'bias'].map((role) =>
    weights.get(prefix + role),
  );
  if (!kernel || !own) return 'its kernels are not those of the class';
  const half = way === '' ? undefined : way === 'forward' ? 'first' : 'second';
  return recurrent(
    { kernel, recurrent: own, bias, takesShift: bias !== undefined && takesShift(bias) },
    config,
    half,
  );
}
