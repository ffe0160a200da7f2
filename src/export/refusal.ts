import { BitnibbleError, type ErrorCode } from '../errors.js';
import type { NetworkNode } from '../network/types.js';

/** Why a node cannot be held or run, before it is known which layer of which file it is. */
export class Refusal extends BitnibbleError {
  constructor(
    readonly reason: string,
    code: ErrorCode = 'unsupported-layer',
  ) {
    super(code, reason);
  }
}

/** @throws Refusal */
export function refuse(reason: string): never {
  throw new Refusal(reason);
}

/**
 * Runs the work on a node; a refusal in it becomes one that names file, layer and class.
 *
 * @param cannot who cannot do what: `ONNX cannot hold`
 */
export function namingNode<T>(file: string, cannot: string, node: NetworkNode, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const { layer, className } = node;
    const message = `${file}: ${cannot} the layer ${layer} (${className}): ${error.reason}`;
    throw new BitnibbleError(error.code, message, { cause: error });
  }
}
