// What entries of an architecture say of the inputs and outputs of a model.
import { BitnibbleError } from '../errors.js';
import { isObject, type JsonObject } from '../model.js';
import { dtypeName } from './layer.js';
import { entriesOf } from './notation.js';
import type { Port, Shape } from './types.js';

/** What an entry says of the shape of its input, batch first. */
export function declaredShape(entry: JsonObject): Shape | undefined {
  const config = isObject(entry.config) ? entry.config : {};
  const given = config.batch_shape ?? config.batch_input_shape;
  if (!Array.isArray(given)) return undefined;
  return given.map((n) => (typeof n === 'number' ? n : null));
}

/** @throws BitnibbleError `corrupt-file` for an input with lengths that none can have */
export function requireLengths(shape: Shape | undefined, layer: string, file: string): void {
  if (!shape?.some((n) => n !== null && !(Number.isSafeInteger(n) && n > 0))) return;
  const fault = `expected lengths of at least 1 in the shape of input ${layer}, got [${shape.map((n) => n ?? 'None')}]`;
  throw new BitnibbleError('corrupt-file', `${file}: ${fault}`);
}

/** The shape of a model's first input, by itself or by its first layer. */
export function declaredByModel(entry: JsonObject): Shape | undefined {
  for (let at: JsonObject | undefined = entry; at; ) {
    const own = declaredShape(at);
    if (own) return own;
    const config: JsonObject = isObject(at.config) ? at.config : {};
    const built = config.build_input_shape;
    if (Array.isArray(built)) return built.map((n) => (typeof n === 'number' ? n : null));
    const held: JsonObject | undefined = isObject(config.layer) ? config.layer : undefined;
    // A wrapper's layer does not see the wrapper's axes.
    if (held) return undefined;
    const entries = entriesOf(at);
    const input = entries.find(({ class_name }) => class_name === 'InputLayer');
    at = input ?? (at.class_name === 'Sequential' ? entries[0] : undefined);
  }
  return undefined;
}

/** Name of the type of an input; tokens are integers, whatever the type that an Embedding computes with. */
export function inputType(entry: JsonObject | undefined): string | undefined {
  if (entry?.class_name !== 'InputLayer') return entry?.class_name === 'Embedding' ? 'int32' : undefined;
  return isObject(entry.config) ? dtypeName(entry.config.dtype) : undefined;
}

/** Outputs with names of their own: of several of one layer the second is `name_1`. */
export function uniqueNames(outputs: readonly Port[]): Port[] {
  const taken = new Set<string>();
  return outputs.map(({ name, value }) => {
    let own = name;
    for (let n = 1; taken.has(own); n++) own = `${name}_${n}`;
    taken.add(own);
    return { name: own, value };
  });
}
