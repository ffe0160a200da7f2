// Networks of every kind of layer against what Keras made of them, in float and after int4: the fixtures of TensorFlow.js's tests.

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openNpz } from '../../src/formats/npz.js';
import { loadKernels } from '../../src/kernels/index.js';
import type { ModelSource } from '../../src/model.js';
import { openNetwork } from '../../src/network/index.js';
import { loadNetwork } from '../../src/runtime/index.js';
import type { NetworkArray } from '../../src/runtime/network.js';
import { folder, names, quantized } from '../tfjs/support.js';

const kernels = await loadKernels();

/** What the runtime refuses, by the layer that it names. */
const REFUSED: Readonly<Record<string, RegExp>> = {
  graph_augmentations: /auto_contrast_?\d* \(AutoContrast\): AutoContrast is not among its operations/,
};

/**
 * Bounds of small values, as below, where 3.5e-3 is not enough: behind a tanh, which leaves small sums as they are and cuts large ones
 * down to 1, a hundredth of the largest output is less than a hundredth of the largest sum.
 */
const BOUNDS: Readonly<Record<string, number>> = { k2_short_kernels: 4.8e-3 };

/**
 * Over all outputs, the largest `|output - expected| / max(|expected|, a hundredth of the largest)`, and the largest
 * `|output - expected| / the largest`.
 */
async function errorsOf(
  model: ModelSource,
  name: string,
  letter: 'y' | 'q',
  weights: 'packed' | 'decoded',
): Promise<{ readonly own: number; readonly ofLargest: number }> {
  const file = openNpz(readFileSync(path.join(folder, `${name}.npz`)));
  const list = (key: string) =>
    Array.from({ length: file.names.filter((own) => own.startsWith(key)).length }, (_, i) =>
      file.read(`${key}${i}`),
    );
  const xs = list('x');
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
  list(letter).forEach(({ data }, i) => {
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

for (const name of names) {
  test(`${name}: what Keras computes, or a refusal by name`, async () => {
    const { float, packed } = await quantized(name, kernels);
    const refusal = REFUSED[name];
    if (refusal) {
      try {
        await errorsOf(float, name, 'y', 'decoded');
      } catch (error) {
        assert.is((error as { code?: string }).code, 'unsupported-layer');
        assert.match((error as Error).message, refusal);
        return;
      }
      assert.unreachable(`${name} is not refused any more: take it off the list`);
    }
    const [full, decoded, kept] = [
      await errorsOf(float, name, 'y', 'decoded'),
      await errorsOf(packed, name, 'q', 'decoded'),
      await errorsOf(packed, name, 'q', 'packed'),
    ] as const;
    assert.ok(full.own <= 1e-4, `float: ${full.own}`);
    assert.ok(decoded.ofLargest <= 1e-4, `int4, of the largest output: ${decoded.ofLargest}`);
    // Activations of 14 bits: a value of a hundredth of the largest has a relative error of up to 3e-3.
    assert.ok(decoded.own <= (BOUNDS[name] ?? 3.5e-3), `int4: ${decoded.own}`);
    assert.equal(kept, decoded);
  });
}

test.run();
