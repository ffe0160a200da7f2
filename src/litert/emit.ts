// A network as a graph of LiteRT.
import { emitNetwork as emit, isEmitted as isKnown } from '../export/emit.js';
import type { CodedSource } from '../export/stored.js';
import type { Val } from '../export/values.js';
import type { Network } from '../network/index.js';
import type { Emit } from './context.js';
import { GraphBuilder } from './graph.js';
import { IMAGES } from './layers-images.js';
import { addRows, addRowsOf, PRODUCTS } from './layers-products.js';
import { RECURRENT } from './layers-recurrent.js';
import type { Graph } from './types.js';
import { type WeightStorage, WeightWriter } from './weights.js';

const EMITS: Readonly<Record<string, Emit>> = { ...PRODUCTS, ...IMAGES, ...RECURRENT };

export interface Emitted {
  readonly graph: Graph;
  readonly inputs: readonly Val[];
  readonly outputs: readonly Val[];
  readonly weights: WeightWriter;
}

/** Whether LiteRT has an operation with some attributes. */
export const isEmitted = (operation: string): boolean => isKnown(operation, EMITS);

/**
 * Turns a network into a graph of LiteRT.
 * @throws BitnibbleError `unsupported-layer` naming layers and reasons, `missing-weight`
 */
export function emitNetwork(
  network: Network,
  source: CodedSource,
  storage: WeightStorage,
  batch: number,
): Emitted {
  const builder = new GraphBuilder();
  const weights = new WeightWriter(builder, source, storage);
  const { inputs, outputs } = emit(network, {
    ...{ name: 'LiteRT', graph: builder, weights, emits: EMITS, bordered: undefined },
    shapeOf: (_, shape) => shape.map((n, axis) => (axis === 0 ? (n ?? batch) : n)),
    product: addRows,
    rowsOf: addRowsOf,
  });
  return { graph: builder.graph(network.name || 'model', inputs, outputs), inputs, outputs, weights };
}
