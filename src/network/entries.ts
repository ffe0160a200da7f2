// Entries of an architecture, and how they name each other's outputs.
import { isObject, type Json, type JsonObject } from '../model.js';

/** Whether an entry holds layers of its own. */
export function isModel(entry: JsonObject): boolean {
  return Array.isArray(entry.config) || (isObject(entry.config) && Array.isArray(entry.config.layers));
}

/** Name of an entry. */
export function nameOf(entry: JsonObject, fallback: string): string {
  const config = isObject(entry.config) ? entry.config : {};
  return String(config.name ?? entry.name ?? fallback);
}

/** Entries of the layers of a model: a bare list in Keras 1 and early 2, else `{ layers }`. */
export function entriesOf(model: JsonObject): JsonObject[] {
  const { config } = model;
  const list = Array.isArray(config) ? config : isObject(config) ? config.layers : undefined;
  return Array.isArray(list) ? list.filter(isObject) : [];
}

/** Output `tensor` of call `call` of a layer. */
export interface Ref {
  readonly layer: string;
  readonly call: number;
  readonly tensor: number;
}

/** `[layer, call, tensor]`, perhaps with keyword arguments behind. */
export function historyOf(value: Json | undefined): Ref | undefined {
  if (!Array.isArray(value) || typeof value[0] !== 'string' || typeof value[1] !== 'number') return undefined;
  return { layer: value[0], call: value[1], tensor: typeof value[2] === 'number' ? value[2] : 0 };
}

/** A Keras 3 tensor, `{ class_name: '__keras_tensor__', config: { keras_history } }`. */
export function kerasTensor(value: Json | undefined): Ref | undefined {
  if (!isObject(value) || value.class_name !== '__keras_tensor__' || !isObject(value.config))
    return undefined;
  return historyOf(value.config.keras_history);
}
