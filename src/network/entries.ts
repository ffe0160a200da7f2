// Entries of an architecture.
import { isObject, type JsonObject } from '../model.js';

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
