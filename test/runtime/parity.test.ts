// Networks of every kind of layer against what Keras made of them, in float and after int4: the fixtures of TensorFlow.js's tests.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadKernels } from '../../src/kernels/index.js';
import { names, quantized } from '../tfjs/support.js';
import { errorsOf, REFUSED } from './parity.js';

const kernels = await loadKernels();

/**
 * Bounds of small values, as below, where 3.5e-3 is not enough: behind a tanh, which leaves small sums as they are and cuts large ones
 * down to 1, a hundredth of the largest output is less than a hundredth of the largest sum.
 */
const BOUNDS: Readonly<Record<string, number>> = { k2_short_kernels: 4.8e-3 };

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
