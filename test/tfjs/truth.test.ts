// Truth values that are moved or chosen, held to plain JavaScript on every backend that is here.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { elementwise } from '../../src/tfjs/layers/ops/elementwise.js';
import { shapes } from '../../src/tfjs/layers/ops/shapes.js';
import { reversed, type TensorOperation } from '../../src/tfjs/layers/ops/spec.js';
import type { Tensor } from '../../src/tfjs/types.js';

const { tf } = await loadTensorFlow({ prefer: 'wasm' });

const SHAPES = [
  [8, 6],
  [64, 6],
  [9, 7],
  [5, 6, 7],
  [1, 3],
] as const;
const truths = (shape: readonly number[], step: number) =>
  Array.from({ length: shape.reduce((n, d) => n * d, 1) }, (_, i) => (i * step) % 3 === 0);

/** Values along the other way of one axis. */
function turned(values: readonly boolean[], shape: readonly number[], axis: number): number[] {
  const inner = shape.slice(axis + 1).reduce((n, d) => n * d, 1);
  const n = shape[axis] as number;
  return values.map((_, i) => {
    const at = Math.floor(i / inner) % n;
    return Number(values[i + (n - 1 - 2 * at) * inner]);
  });
}

for (const backend of ['wasm', 'cpu']) {
  test(`${backend}: reversed, flipped, sliced backwards and chosen`, async () => {
    await tf.setBackend(backend);
    const { flip, getItem } = shapes as Record<string, TensorOperation>;
    const { where } = elementwise as Record<string, TensorOperation>;
    const read = (tensor: Tensor): number[] => {
      assert.is(tensor.dtype, 'bool');
      return Array.from(tensor.dataSync(), Number);
    };
    for (const shape of SHAPES) {
      const [a, b, c] = [7, 5, 4].map((step) => truths(shape, step)) as [boolean[], boolean[], boolean[]];
      const [x, y, chosen] = [a, b, c].map((values) => tf.tensor(values, [...shape], 'bool')) as [
        Tensor,
        Tensor,
        Tensor,
      ];
      for (const axis of shape.keys()) {
        const wanted = turned(a, shape, axis);
        const what = `[${shape}], axis ${axis}`;
        assert.equal(read(reversed(tf, x, axis)), wanted, what);
        assert.equal(read(flip?.compute(tf, [x], { axis }) as Tensor), wanted, what);
        const index = shape.map((_, i) => ({ start: null, stop: null, step: i === axis ? -1 : 1 }));
        assert.equal(read(getItem?.compute(tf, [x], { index: index as never }) as Tensor), wanted, what);
      }
      const made = read(where?.compute(tf, [chosen, x, y], {}) as Tensor);
      assert.equal(
        made,
        c.map((is, i) => Number((is ? a : b)[i])),
        `[${shape}]`,
      );
    }
  });
}

test.run();
