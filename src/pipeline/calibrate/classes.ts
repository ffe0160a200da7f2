import type { JsonObject, WeightInfo } from '../../model.js';
import type { NetworkNode } from '../../network/types.js';
import { activationName } from '../../tfjs/layers/activations.js';
import type { CellName, RnnConfig } from '../../tfjs/layers/recurrent.js';
import { attention } from './attention.js';
import { convLstm } from './conv-lstm.js';
import { convolution, depthwise, separable, transposed } from './convolution.js';
import { einsumDense } from './einsum.js';
import { type Linear, stepwise } from './linear.js';
import { recurrent } from './recurrent.js';

const CONVOLUTION = /^(Depthwise|Separable)?Conv([123])D(Transpose)?$/;
const CELL = /^(SimpleRNN|LSTM|GRU)$/;
const CONV_CELL = /^ConvLSTM([123])D$/;

/** Whether kernels of an operation are fitted to samples; of a Bidirectional layer, those of the cells above. */
export const isFitted = (operation: string): boolean =>
  /^(Dense|EinsumDense|Bidirectional|Embedding|(MultiHead|GroupQuery)Attention)$/.test(operation) ||
  [CONVOLUTION, CELL, CONV_CELL].some((pattern) => pattern.test(operation));

const FOREIGN = 'its kernels are not those of the class';

/**
 * The linear maps of a node, in the order in which they are applied, or why calibration does not know them.
 *
 * @param weights by their role
 * @param takesShift whether a bias may be changed
 */
export function linearsOf(
  node: NetworkNode,
  weights: ReadonlyMap<string, WeightInfo>,
  takesShift: (bias: WeightInfo) => boolean,
): readonly Linear[] | string {
  const found = mapsOf(node, weights, takesShift);
  // Axes of a dense layer between batch and channels are all alike.
  if (typeof found === 'string' || node.operation === 'Dense') return found;
  return found.map((linear) => stepwise(linear, node.steps));
}

function mapsOf(
  { operation, attributes, roles }: NetworkNode,
  weights: ReadonlyMap<string, WeightInfo>,
  takesShift: (bias: WeightInfo) => boolean,
): readonly Linear[] | string {
  const given = weights.get('bias');
  const bias = given && takesShift(given) ? given : undefined;
  const isFirst = attributes.data_format === 'channels_first';
  const match = CONVOLUTION.exec(operation);
  const [dense, second] = kernelsOf(operation, weights);
  const isMap = operation === 'Dense' || operation === 'EinsumDense' || match !== null;
  if (isMap && !dense) return FOREIGN;
  if (operation === 'Dense') return [convolution(dense as WeightInfo, bias, {}, 0, false)];
  if (match) {
    const [, kind, digit, isTransposed] = match;
    const rank = Number(digit);
    const kernel = dense as WeightInfo;
    if (kind === 'Depthwise') return [depthwise(kernel, bias, attributes, rank, isFirst)];
    if (kind === 'Separable')
      return second ? separable([kernel, second], bias, attributes, rank, isFirst) : FOREIGN;
    return [(isTransposed ? transposed : convolution)(kernel, bias, attributes, rank, isFirst)];
  }
  if (operation === 'EinsumDense') {
    const map = einsumDense(dense as WeightInfo, bias, attributes);
    return typeof map === 'string' ? map : [map];
  }
  if (/^(MultiHead|GroupQuery)Attention$/.test(operation))
    return attention(attributes, roles, weights, takesShift);
  const cell = operation === 'Bidirectional' ? String(attributes.cell) : operation;
  if (!CELL.test(cell) && !CONV_CELL.test(cell)) return `the class ${cell} is fitted without data`;
  const config = rnnConfigOf(cell, attributes, roles);
  if (operation !== 'Bidirectional') return oneWay(config, attributes, weights, takesShift, '');
  const found: Linear[] = [];
  for (const way of ['forward', 'backward'] as const) {
    const goBackwards = (config.goBackwards === true) !== (way === 'backward');
    const maps = oneWay({ ...config, goBackwards }, attributes, weights, takesShift, way);
    if (typeof maps === 'string') return maps;
    found.push(...maps);
  }
  return found;
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
  attributes: JsonObject,
  weights: ReadonlyMap<string, WeightInfo>,
  takesShift: (bias: WeightInfo) => boolean,
  way: '' | 'forward' | 'backward',
): Linear[] | string {
  const prefix = way === '' ? '' : `${way}/`;
  const [kernel, own, bias] = ['kernel', 'recurrent_kernel', 'bias'].map((role) =>
    weights.get(prefix + role),
  );
  if (!kernel || !own) return FOREIGN;
  const half = way === '' ? undefined : way === 'forward' ? 'first' : 'second';
  const found = { kernel, recurrent: own, bias, takesShift: bias !== undefined && takesShift(bias) };
  const rank = CONV_CELL.exec(config.cell)?.[1];
  if (rank === undefined) return recurrent(found, config, half);
  return convLstm(found, attributes, Number(rank), config.goBackwards === true);
}
