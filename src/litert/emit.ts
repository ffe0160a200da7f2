// A network as a graph of LiteRT.
import { BitnibbleError } from '../errors.js';
import { emitNetwork as emit, isEmitted as isKnown } from '../export/emit.js';
import type { CodedSource } from '../export/stored.js';
import type { Network } from '../network/index.js';
import type { Emit } from './context.js';
import { withFusedActivations } from './fuse.js';
import { GraphBuilder } from './graph.js';
import { type Integers, withIntegers } from './integers.js';
import { IMAGES } from './layers-images.js';
import { addRows, addRowsOf, PRODUCTS } from './layers-products.js';
import { RECURRENT } from './layers-recurrent.js';
import type { Graph } from './types.js';
import { type WeightStorage, WeightWriter } from './weights.js';

const EMITS: Readonly<Record<string, Emit>> = { ...PRODUCTS, ...IMAGES, ...RECURRENT };

export interface Emitted {
  readonly graph: Graph;
  readonly weights: WeightWriter;
  /** Which codes products take as they are; undefined where none were asked for. */
  readonly integers: Integers | undefined;
}

/** Whether LiteRT has an operation with some attributes. */
export const isEmitted = (operation: string): boolean => isKnown(operation, EMITS);

/** The shape of an input with a length for its batch. */
function fixedShape(
  file: string,
  name: string,
  shape: readonly (number | null)[],
  batch: number,
): readonly number[] {
  const own = shape.map((n, axis) => n ?? (axis === 0 ? batch : null));
  if (own.every((n) => n !== null)) return own;
  const shown = own.map((n, axis) => (axis === 0 ? 'batch' : (n ?? '?'))).join(', ');
  const message = `${file}: LiteRT's shapes are static, and the input ${name} has lengths that are not known: [${shown}]`;
  throw new BitnibbleError('unsupported-layer', message);
}

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
    shapeOf: (name, shape) => fixedShape(source.file, name, shape, batch),
    product: addRows,
    rowsOf: addRowsOf,
  });
  const graph = withFusedActivations(builder.graph(network.name || 'model', inputs, outputs));
  const integers = storage === 'fast' ? withIntegers(graph) : undefined;
  return { graph: integers?.graph ?? graph, weights, integers };
}
