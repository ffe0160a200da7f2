import { BitnibbleError } from '../errors.js';
import type { JsonObject, ModelInfo } from '../model.js';
import { fromKeras1 } from './keras1.js';
import { type Graph, type GraphLayer, isModel, modelIn, nameOf, type Ref, readGraph } from './notation.js';
import { isKeras1, versionOf } from './version.js';

export { versionOf } from './version.js';

/** Deeper nesting of models than this is taken for a fault of the file. */
export const MAX_DEPTH = 64;

/**
 * Refuses what {@link readNetwork} refuses, and says nothing of a file of weights alone or a model of code.
 * @throws BitnibbleError `corrupt-file`
 */
export function checkCalls(model: ModelInfo): void {
  const { architecture } = model;
  if (!architecture || !isModel(architecture)) return;
  const isKeras3 = versionOf(model) >= 3;
  const visit = (entry: JsonObject, depth: number): void => {
    if (depth > MAX_DEPTH) return;
    const graph = readGraph(entry, isKeras3);
    orderOf(graph, nameOf(entry, String(entry.class_name)), model.file, 'all');
    for (const { entry: own } of graph.layers) {
      const inner = modelIn(own);
      if (inner) visit(inner, depth + 1);
    }
  };
  visit(isKeras1(model) ? fromKeras1(architecture) : architecture, 0);
}

/** A call of a layer as a key. */
export const keyOf = (layer: string, call: number) => `${layer}\n${call}`;

/**
 * Calls of one model in an order in which they can be made: as they are listed where that is possible.
 * @param wanted only those that the outputs need, or all
 * @throws BitnibbleError `corrupt-file` naming the layers of a circle
 */
export function orderOf(
  graph: Graph,
  model: string,
  file: string,
  wanted: 'needed' | 'all',
): (readonly [GraphLayer, number])[] {
  const byName = new Map(graph.layers.map((layer) => [layer.name, layer]));
  const needed = new Set<string>();
  if (wanted === 'needed') {
    const queue: Ref[] = [...graph.outputs, ...graph.inputs];
    for (let ref = queue.pop(); ref; ref = queue.pop()) {
      const key = keyOf(ref.layer, ref.call);
      if (needed.has(key)) continue;
      needed.add(key);
      queue.push(...(byName.get(ref.layer)?.calls[ref.call]?.inputs ?? []));
    }
  }
  const order: (readonly [GraphLayer, number])[] = [];
  const state = new Map<string, 'open' | 'done'>();
  for (const start of graph.layers) {
    for (let first = 0; first < start.calls.length; first++) {
      if (wanted === 'needed' && !needed.has(keyOf(start.name, first))) continue;
      // Each entry: a call, and how many of its inputs were looked at.
      const stack: [GraphLayer, number, number][] = [[start, first, 0]];
      while (stack.length > 0) {
        const top = stack.at(-1) as [GraphLayer, number, number];
        const [layer, call, at] = top;
        const key = keyOf(layer.name, call);
        if (at === 0) {
          if (state.get(key) === 'done') {
            stack.pop();
            continue;
          }
          state.set(key, 'open');
        }
        const ref = layer.calls[call]?.inputs[at];
        if (!ref) {
          state.set(key, 'done');
          order.push([layer, call]);
          stack.pop();
          continue;
        }
        top[2]++;
        const source = byName.get(ref.layer);
        if (!source?.calls[ref.call]) continue;
        const found = state.get(keyOf(ref.layer, ref.call));
        if (found === 'open') throw circle(stack, ref, model, file);
        if (!found) stack.push([source, ref.call, 0]);
      }
    }
  }
  return order;
}

/** Most layers that a message names. */
const SHOWN = 6;

function circle(
  stack: readonly [GraphLayer, number, number][],
  { layer, call }: Ref,
  model: string,
  file: string,
) {
  const from = stack.findIndex(([own, index]) => own.name === layer && index === call);
  const names = stack.slice(from).map(([own]) => own.name);
  const shown = names.reverse().slice(0, SHOWN).join(', ');
  return new BitnibbleError(
    'corrupt-file',
    `${file}: layers of ${model} are called on their own outputs: ${shown}`,
  );
}
