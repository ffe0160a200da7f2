import type { JsonObject } from '../model.js';

/** One call of a layer: values that it takes and makes. */
export interface LayerCall {
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
}

/** A layer of TensorFlow.js and its calls. */
export interface LayerCalls {
  readonly name: string;
  readonly className?: string;
  readonly config?: JsonObject;
  readonly calls: LayerCall[];
}

/**
 * Gives a call that takes one value twice, `attention(x, x)`, a copy of it the second time: TensorFlow.js counts how often a
 * tensor is still needed, counts such a call once, and would free the tensor too early.
 *
 * @param nameOf the name of the layer that makes a copy, a new one each time
 */
export function withoutRepeats(
  layers: readonly LayerCalls[],
  nameOf: (value: number) => string,
): LayerCalls[] {
  let next =
    1 +
    layers
      .flatMap(({ calls }) => calls.flatMap(({ inputs, outputs }) => [...inputs, ...outputs]))
      .reduce((a, b) => Math.max(a, b), 0);
  return layers.flatMap((layer) => {
    const copies: LayerCalls[] = [];
    const calls = layer.calls.map(({ inputs, outputs }) => {
      const seen = new Set<number>();
      const own = inputs.map((value) => {
        if (!seen.has(value)) {
          seen.add(value);
          return value;
        }
        const name = nameOf(value);
        const config = { name, activation: 'linear', dtype: 'float32' };
        copies.push({ name, className: 'Activation', config, calls: [{ inputs: [value], outputs: [next] }] });
        return next++;
      });
      return { inputs: own, outputs };
    });
    return [...copies, { ...layer, calls }];
  });
}

/**
 * The order in which TensorFlow.js will make the calls of every layer: it goes over the layers again and again and makes
 * each call whose inputs are there. It numbers calls as it makes them, so a shared layer whose second call is ready first
 * would be wired wrongly; with calls listed in this order it is not.
 *
 * @param given values that are there from the start
 * @returns per layer: numbers of its calls in their new order
 */
export function callOrder(layers: readonly LayerCalls[], given: ReadonlySet<number>): Map<string, number[]> {
  const order = new Map(layers.map(({ name }) => [name, [] as number[]]));
  const made = new Set(given);
  let waiting = layers.flatMap(({ name, calls }) => calls.map((call, index) => ({ name, index, ...call })));
  while (waiting.length > 0) {
    const left = waiting.filter(({ name, index, inputs, outputs }) => {
      if (!inputs.every((value) => made.has(value))) return true;
      for (const value of outputs) made.add(value);
      order.get(name)?.push(index);
      return false;
    });
    // Nodes stand in an order in which they can be run, so something is always made.
    if (left.length === waiting.length) throw new RangeError('layers that wait for each other');
    waiting = left;
  }
  return order;
}
