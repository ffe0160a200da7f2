import { expected } from '../../errors.js';
import type { Rule } from '../types.js';

/**
 * `calibrated` scales come from a layer's inputs (`calibrateModel`), never from its weights alone: a tensor of a packed
 * file can have them, a tensor that is quantized by itself cannot.
 *
 * @throws RangeError
 */
function needsData(context: string): never {
  throw new RangeError(
    expected('scale', 'a rule that needs no data, or calibrateModel', 'calibrated', context),
  );
}

export const calibrated: Rule = {
  fit: (_weights, _scheme, { context }) => needsData(context),
  scales: (_each, _scheme, { context }) => needsData(context),
  passes: () => 1,
};
