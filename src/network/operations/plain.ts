import type { Operation, Operations } from './operation.js';
import { PLAIN_LAYERS } from './plain-layers.js';
import { PLAIN_WINDOWS } from './windows.js';

const ROWS: Operations = { ...PLAIN_LAYERS, ...PLAIN_WINDOWS };

/** The row of a layer that networks of convolutions are made of; undefined for others. */
export const plainOperation = (name: string): Operation | undefined =>
  Object.hasOwn(ROWS, name) ? ROWS[name] : undefined;
