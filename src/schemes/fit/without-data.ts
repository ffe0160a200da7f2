import { expected } from '../../errors.js';
import type { FitFunction } from '../types.js';

/**
 * `calibrated` scales come from a layer's inputs (`calibrateModel`), never from its weights alone: a tensor of a packed
 * file can have them, a tensor that is quantized by itself cannot.
 *
 * @throws RangeError
 */
export const fitWithoutData: FitFunction = (_weights, _scheme, { context }) => {
  throw new RangeError(
    expected('scale', 'a rule that needs no data, or calibrateModel', 'calibrated', context),
  );
};
