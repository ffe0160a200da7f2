import { roleOf } from '../../keras/axes.js';
import { isObject } from '../../keras/config.js';
import { plainClass } from '../../keras/variables.js';
import type { JsonObject, WeightInfo } from '../../model.js';
import type { CellName, RnnConfig } from '../../tfjs/layers/recurrent.js';
import { type Calling, convolution, depthwise, separable, transposed } from './convolution.js';
import { einsumDense } from './einsum.js';
import type { Linear } from './linear.js';
import type { Layer } from './network.js';
import { recurrent } from './recurrent.js';

const CONVOLUTION = /^(Depthwise|Separable)?Conv([123])D(Transpose)?$/;
const CELL = /^(SimpleRNN|LSTM|GRU)$/;

/** Classes that have kernels and are fitted without data, and why. */
const REASONS: readonly (readonly [RegExp, string])[] = [
  [/Attention$/, 'what its kernels take is known inside of it only'],
  [/^ConvLSTM[123]D$/, 'its steps are convolutions of states, which are not computed'],
  [/^RNN$/, 'it is a cell of its own'],
];

/**
 * The linear maps of a layer, in the order in which they are applied, or why calibration does not know them.
 *
 * @param layer as TensorFlow.js runs it
 * @param weights all of its weights in the order of `layer.weights`, as Keras stores them
 * @param takesShift whether a bias may be changed
 */
export function linearsOf(
  layer: Layer,
  weights: readonly WeightInfo[],
  takesShift: (bias: WeightInfo) => boolean,
): readonly Linear[] | string {
  const [first] = weights as [WeightInfo];
  const [name = '', around] = first.className.split('/').reverse();
  // Outside of training, spectral normalization is the layer inside; an RNN of a cell is the layer of that name.
  const wrapper = /^(SpectralNormalization|RNN)$/.test(around ?? '') ? undefined : around;
  const className = plainClass(name).replace(/^(SimpleRNN|LSTM|GRU)Cell$/, '$1');
  if (/(TimeDistributed|Bidirectional)$/.test(layer.getClassName()) && wrapper === undefined)
    return 'a model inside a wrapper is fitted without data';
  const config = first.config ?? {};
  const isTimed = wrapper === 'TimeDistributed';
  if (wrapper === 'Bidirectional' && CELL.test(className))
    return bothWays(layer, className, weights, takesShift);
  const kernels = weights.filter((weight) => roleOf(weight).kind === 'kernel');
  const bias = weights.find((weight) => /^(bias|b)$/.test(weight.name) && takesShift(weight));
  const calling: Calling = { isTimed, isFirst: config.data_format === 'channels_first' };
  const dense = kernels[0] as WeightInfo;
  const match = CONVOLUTION.exec(className);
  const inside = `a layer inside ${wrapper} is fitted without data`;
  if (wrapper !== undefined && !(isTimed && (match || className === 'Dense'))) return inside;
  if (className === 'Dense') return [convolution(dense, bias, {}, 0, { ...calling, isFirst: false })];
  if (match) {
    const [, kind, digit, isTransposed] = match;
    const rank = Number(digit);
    if (isTimed && rank === 3) return inside;
    if (kind === 'Depthwise') return [depthwise(dense, bias, config, rank, calling)];
    if (kind === 'Separable')
      return separable(kernels as unknown as [WeightInfo, WeightInfo], bias, config, rank, calling);
    return [(isTransposed ? transposed : convolution)(dense, bias, config, rank, calling)];
  }
  if (className === 'EinsumDense') {
    const map = einsumDense(dense, bias, config);
    return typeof map === 'string' ? map : [map];
  }
  if (CELL.test(className)) return oneWay(rnnConfigOf(className, layer.getConfig()), weights, takesShift);
  const why = REASONS.find(([classes]) => classes.test(className))?.[1];
  return `the class ${className} is fitted without data${why ? `: ${why}` : ''}`;
}

/** What `run` needs of the config of a recurrent layer, which TensorFlow.js and bitnibble's classes spell alike. */
function rnnConfigOf(className: string, config: object): RnnConfig & { readonly stateful?: boolean } {
  return { ...(config as RnnConfig), cell: className as CellName };
}

function oneWay(
  config: RnnConfig & { readonly stateful?: boolean },
  [kernel, own, bias]: readonly WeightInfo[],
  takesShift: (bias: WeightInfo) => boolean,
  half?: 'first' | 'second',
): Linear[] | string {
  if (config.stateful) return 'a stateful layer is fitted without data';
  if (!kernel || !own) return 'its kernels are not those of the class';
  return recurrent(
    { kernel, recurrent: own, bias, takesShift: bias !== undefined && takesShift(bias) },
    config,
    half,
  );
}

/** Forwards, then backwards: TensorFlow.js and bitnibble's class list weights so. */
function bothWays(
  layer: Layer,
  className: string,
  weights: readonly WeightInfo[],
  takesShift: (bias: WeightInfo) => boolean,
): Linear[] | string {
  const { layer: inner, masked } = layer.getConfig() as unknown as {
    layer: { config: JsonObject };
    masked?: boolean;
  };
  if (!isObject(inner.config)) return 'its layer is not known';
  const half = weights.length / 2;
  const found: Linear[] = [];
  for (const isBack of [false, true]) {
    const given = rnnConfigOf(className, { ...inner.config, masked: masked === true });
    const config = { ...given, goBackwards: (given.goBackwards === true) !== isBack };
    const own = isBack ? weights.slice(half) : weights.slice(0, half);
    const maps = oneWay(config, own, takesShift, isBack ? 'second' : 'first');
    if (typeof maps === 'string') return maps;
    found.push(...maps);
  }
  return found;
}
