import { parseJson } from '../formats/json.js';
import { MAX_PATH } from '../formats/names.js';
import type { ModelInfo } from '../model.js';
import { damagedModel } from './plan.js';
import { QuantizedModel } from './quantized-model.js';

/** Tensors at most. */
const MOST = 65_536;

/** Largest float32. */
const LARGEST = 2 ** 128 - 2 ** 104;

/**
 * The largest magnitudes of activations that a packed file holds, by the layer or input that they come from: docs/FORMAT.md, section
 * 2. Empty where it holds none.
 *
 * @throws BitnibbleError `corrupt-file` for anything but a list of names and numbers from 0 to the largest float32
 */
export function readRanges({ activationRanges, file }: ModelInfo): ReadonlyMap<string, number> {
  const ranges = new Map<string, number>();
  if (activationRanges === undefined) return ranges;
  const list = parseJson(
    activationRanges,
    `${file}: damaged packed model: activation_ranges in the metadata`,
  );
  const damaged = (fault: string) => damagedModel(file, `activation_ranges ${fault}`);
  if (!Array.isArray(list)) throw damaged('is not a list');
  if (list.length > MOST) throw damaged(`lists ${list.length} tensors, expected at most ${MOST}`);
  for (const entry of list) {
    const isPair = Array.isArray(entry) && entry.length === 2;
    const [name, largest] = isPair ? entry : [];
    if (typeof name !== 'string' || name.length > MAX_PATH)
      throw damaged('has an entry that is not a name and a number');
    if (typeof largest !== 'number' || !(largest >= 0 && largest <= LARGEST))
      throw damaged(`has no number from 0 to the largest float32 for ${name.slice(0, 100)}`);
    if (ranges.has(name)) throw damaged(`lists ${name.slice(0, 100)} twice`);
    ranges.set(name, largest);
  }
  return ranges;
}

/** The model with ranges in its metadata, and nothing else changed. */
export function withRanges(model: QuantizedModel, ranges: ReadonlyMap<string, number>): QuantizedModel {
  const { file, architecture, kerasVersion, backend } = model;
  const activationRanges = JSON.stringify([...ranges]);
  return new QuantizedModel(
    { file, architecture, kerasVersion, backend, activationRanges },
    model.weights,
    model.kernels,
  );
}
