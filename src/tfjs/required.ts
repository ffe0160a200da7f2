import type { Json, JsonObject } from '../model.js';

const isSize = (value: Json | undefined) => Number.isSafeInteger(value) && (value as number) > 0;
/** One size, or one for every axis. */
const areSizes = (value: Json | undefined) =>
  isSize(value) || (Array.isArray(value) && value.length > 0 && value.every(isSize));
const isList = (value: Json | undefined) => Array.isArray(value);
const isText = (value: Json | undefined) => typeof value === 'string';

/** Keys without which a layer cannot be built, and what they have to be. */
const REQUIRED: readonly (readonly [
  classes: RegExp,
  keys: readonly string[],
  is: (value: Json | undefined) => boolean,
  expected: string,
])[] = [
  [/^(Conv[123]D(Transpose)?|SeparableConv[12]D|ConvLSTM[123]D)$/, ['filters'], isSize, 'a positive integer'],
  [
    /^((Depthwise|Separable)?Conv[123]D(Transpose)?|ConvLSTM[123]D)$/,
    ['kernel_size'],
    areSizes,
    'positive integers',
  ],
  [/^(Dense|(LSTM|GRU|SimpleRNN)(Cell)?)$/, ['units'], isSize, 'a positive integer'],
  [/^Embedding$/, ['input_dim', 'output_dim'], isSize, 'a positive integer'],
  [/^MultiHeadAttention$/, ['num_heads', 'key_dim'], isSize, 'a positive integer'],
  [/^EinsumDense$/, ['equation'], isText, 'a text'],
  [/^RepeatVector$/, ['n'], isSize, 'a positive integer'],
  [/^(Resizing|CenterCrop)$/, ['height', 'width'], isSize, 'a positive integer'],
  [/^Permute$/, ['dims'], isList, 'a list of axes'],
  [/^Reshape$/, ['target_shape'], isList, 'a shape'],
];

/** Why a layer of this class cannot be built from its configuration, whatever its inputs; undefined: nothing is wrong. */
export function incomplete(className: string, config: JsonObject): string | undefined {
  for (const [classes, keys, is, expected] of REQUIRED) {
    if (!classes.test(className)) continue;
    const key = keys.find((name) => !is(config[name]));
    if (key === undefined) continue;
    const found = config[key] === undefined ? 'nothing' : JSON.stringify(config[key]).slice(0, 100);
    return `${key}: expected ${expected}, got ${found}`;
  }
  return undefined;
}
