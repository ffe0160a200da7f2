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

/** The first number above those of all values. */
const nextValue = (layers: readonly LayerCalls[]): number =>
  1 +
  layers
    .flatMap(({ calls }) => calls.flatMap(({ inputs, outputs }) => [...inputs, ...outputs]))
    .reduce((a, b) => Math.max(a, b), 0);

/**
 * Gives a call that takes one value twice, `attention(x, x)`, a copy of it the second time: TensorFlow.js counts how often a
 * tensor is still needed, counts such a call once, and would free the tensor too early. An output that is listed twice gets
 * a copy as well: TensorFlow.js refuses it.
 *
 * @param isWhole whether a value has whole numbers @param nameOf the name of the layer that makes a copy, a new one each time
 * @param ends the outputs
 * @returns the layers, and the outputs as they are then
 */
export function withoutRepeats(
  layers: readonly LayerCalls[],
  isWhole: (value: number) => boolean,
  nameOf: (value: number) => string,
  ends: readonly number[],
): { readonly layers: LayerCalls[]; readonly values: readonly number[] } {
  let next = Math.max(nextValue(layers), ...ends.map((value) => value + 1));
  const apart = (given: readonly number[], copies: LayerCalls[]) => {
    const seen = new Set<number>();
    return given.map((value) => {
      if (!seen.has(value)) {
        seen.add(value);
        return value;
      }
      const name = nameOf(value);
      const config = { name, activation: 'linear', dtype: isWhole(value) ? 'int32' : 'float32' };
      copies.push({ name, className: 'Activation', config, calls: [{ inputs: [value], outputs: [next] }] });
      return next++;
    });
  };
  const all = layers.flatMap((layer) => {
    const copies: LayerCalls[] = [];
    const calls = layer.calls.map(({ inputs, outputs }) => ({ inputs: apart(inputs, copies), outputs }));
    return [...copies, { ...layer, calls }];
  });
  const copies: LayerCalls[] = [];
  const values = apart(ends, copies);
  return { layers: [...all, ...copies], values };
}

/** Layers that TensorFlow.js lets compute in whole numbers where it is given those. */
const FLOATS = /^(bitnibble>)?(BatchNormalization|LayerNormalization|UnitNormalization|ReLU|Activation)$/;

/**
 * Gives layers that TensorFlow.js would let compute in whole numbers floats instead, as Keras does.
 *
 * @param isWhole whether a value has whole numbers @param nameOf the name of the layer that makes floats, a new one each time
 */
export function withFloats(
  layers: readonly LayerCalls[],
  isWhole: (value: number) => boolean,
  nameOf: (value: number) => string,
): LayerCalls[] {
  let next = nextValue(layers);
  return layers.flatMap((layer) => {
    const { className = '', config = {} } = layer;
    if (!FLOATS.test(className) || config.activation === 'linear') return [layer];
    const casts: LayerCalls[] = [];
    const calls = layer.calls.map(({ inputs, outputs }) => {
      const [value] = inputs;
      if (inputs.length !== 1 || value === undefined || !isWhole(value)) return { inputs, outputs };
      const name = nameOf(value);
      const one = { name, scale: 1, offset: 0, dtype: 'float32' };
      casts.push({
        name,
        className: 'Rescaling',
        config: one,
        calls: [{ inputs: [value], outputs: [next] }],
      });
      return { inputs: [next++], outputs };
    });
    return [...casts, { ...layer, calls }];
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
