import { BitnibbleError } from '../errors.js';
import type { NetworkNode } from '../network/index.js';

/** A node that a format cannot hold. */
export class Refusal extends BitnibbleError {
  constructor(readonly reason: string) {
    super('unsupported-layer', reason);
  }
}

/** @throws Refusal */
export function refuse(reason: string): never {
  throw new Refusal(reason);
}

/** Runs the work on a node; a refusal in it becomes one that names file, format, layer and class. */
export function namingNode<T>(file: string, format: string, node: NetworkNode, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const { layer, className } = node;
    const message = `${file}: ${format} cannot hold the layer ${layer} (${className}): ${error.reason}`;
    throw new BitnibbleError('unsupported-layer', message, { cause: error });
  }
}
