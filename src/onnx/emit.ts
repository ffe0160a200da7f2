// A network as a graph of ONNX.
import { emitNetwork as emit, isEmitted as isKnown } from '../export/emit.js';
import type { CodedSource } from '../export/stored.js';
import type { Network } from '../network/index.js';
import type { Emit } from './context.js';
import { GraphBuilder } from './graph.js';
import { IMAGES } from './layers-images.js';
import { NORMALIZATIONS } from './layers-normalizations.js';
import { PRODUCTS } from './layers-products.js';
import { RECURRENT } from './layers-recurrent.js';
import { addRows } from './rows.js';
import { addRowsOf } from './tables.js';
import type { Graph } from './types.js';
import { type WeightStorage, WeightWriter } from './weights.js';

const EMITS: Readonly<Record<string, Emit>> = { ...PRODUCTS, ...IMAGES, ...NORMALIZATIONS, ...RECURRENT };

export interface Emitted {
  readonly graph: Graph;
  readonly builder: GraphBuilder;
  readonly weights: WeightWriter;
}

/** Whether ONNX has an operation with some attributes. */
export const isEmitted = (operation: string): boolean => isKnown(operation, EMITS);

/**
 * Turns a network into a graph of ONNX.
 * @throws BitnibbleError `unsupported-layer` naming layers and reasons, `missing-weight`
 */
export function emitNetwork(network: Network, source: CodedSource, storage: WeightStorage): Emitted {
  const graph = new GraphBuilder();
  const weights = new WeightWriter(graph, source, storage);
  const { inputs, outputs } = emit(network, {
    ...{ name: 'ONNX', graph, weights, emits: EMITS, bordered: /^(Conv[123]D|DepthwiseConv[12]D)$/ },
    shapeOf: (name, shape) => shape.map((n, axis) => n ?? (axis === 0 ? 'batch' : `${name}_${axis}`)),
    product: addRows,
    rowsOf: addRowsOf,
  });
  return { graph: graph.graph(network.name || 'model', inputs, outputs), builder: graph, weights };
}
