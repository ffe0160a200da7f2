export { postTrainBinarization, postTrainQuantization, type WithWeights } from './posttrain.js';
export {
  decodedWeights,
  type QuantizeModelOptions,
  type QuantizeReport,
  quantizeModel,
  type TensorReport,
} from './quantize.js';
export { type Match, type Pattern, parseRecipe, type Recipe, type Rule } from './recipe.js';
