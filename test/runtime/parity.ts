import * as assert from 'uvu/assert';
import type { ModelSource } from '../../src/model.js';
import { openNetwork } from '../../src/network/index.js';
import { loadNetwork } from '../../src/runtime/index.js';
import type { NetworkArray } from '../../src/runtime/network.js';
import { arraysOf } from '../tfjs/support.js';

/** What the runtime refuses, by the layer that it names. */
export const REFUSED: Readonly<Record<string, RegExp>> = {
  k2_backwards: /bidirectional_?\d* \(Bidirectional\/\w+\): go_backwards in both directions/,
  graph_augmentations: /auto_contrast_?\d* \(AutoContrast\): AutoContrast is not among its operations/,
};

/**
 * Over all outputs, the largest `|output - expected| / max(|expected|, a hundredth of the largest)`, and the largest
 * `|output - expected| / the largest`.
 */
export async function errorsOf(
  model: ModelSource,
  name: string,
  letter: 'y' | 'q',
  weights: 'packed' | 'decoded',
): Promise<{ readonly own: number; readonly ofLargest: number }> {
  const xs = arraysOf(name, 'x');
  const ports = openNetwork(model).network.inputs;
  const shapes = Object.fromEntries(ports.map((port, i) => [port.name, xs[i]?.shape.slice(1) as number[]]));
  const network = await loadNetwork(model, { shapes, weights });
  const inputs = Object.fromEntries(
    ports.map((port, i): [string, NetworkArray] => [
      port.name,
      Float32Array.from(xs[i]?.data as ArrayLike<number>, Number),
    ]),
  );
  const result = network.run(inputs);
  const outputs = result instanceof Float32Array ? [result] : Object.values(result);
  let [own, ofLargest] = [0, 0];
  arraysOf(name, letter).forEach(({ data }, i) => {
    const expected = Array.from(data as ArrayLike<number>, Number);
    const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-30);
    assert.is(outputs[i]?.length, expected.length);
    expected.forEach((value, j) => {
      const error = Math.abs((outputs[i]?.[j] as number) - value);
      own = Math.max(own, error / Math.max(Math.abs(value), largest / 100));
      ofLargest = Math.max(ofLargest, error / largest);
    });
  });
  network.dispose();
  return { own, ofLargest };
}
