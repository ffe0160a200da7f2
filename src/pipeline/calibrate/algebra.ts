import { type LinearAlgebra, loadLinearAlgebra } from '../../kernels/linalg.js';
import type { Kernels } from '../../kernels/types.js';
import type { TensorFlow } from '../../tfjs/types.js';

/**
 * What multiplies matrices: bitnibble's own kernels, and for sums over many rows the native library where TensorFlow.js
 * computes by it (several times faster, on all cores).
 */
export async function algebraFor(
  tf: TensorFlow,
  { kernels, algebra }: { readonly kernels: Kernels; readonly algebra?: LinearAlgebra },
): Promise<LinearAlgebra> {
  const own = algebra ?? (await loadLinearAlgebra({ backend: kernels.backend }));
  return tf.getBackend() === 'tensorflow' ? nativeSums(tf, own) : own;
}

/** Rows that are summed in float32 before they are added in float64. */
const NATIVE_ROWS = 2048;

/** Products that take longer natively, for the start of a call, than by the kernels: multiply-adds. */
const SMALL = 1 << 18;

/** The same with `X'X` and `X'T` by TensorFlow.js's matrix product. */
export function nativeSums(tf: TensorFlow, own: LinearAlgebra): LinearAlgebra {
  const addCross: LinearAlgebra['addCross'] = (total, x, t, rows, k, n) => {
    for (let start = 0; start < rows; start += NATIVE_ROWS) {
      const count = Math.min(NATIVE_ROWS, rows - start);
      const product = tf.tidy(() => {
        const left = tf.tensor2d(x.subarray(start * k, (start + count) * k), [count, k]);
        const right = x === t ? left : tf.tensor2d(t.subarray(start * n, (start + count) * n), [count, n]);
        return tf.matMul(left, right, true);
      });
      const sums = product.dataSync();
      product.dispose();
      for (let at = 0; at < sums.length; at++) total[at] = (total[at] as number) + (sums[at] as number);
    }
  };
  return {
    ...own,
    addGram: (total, x, rows, k) =>
      rows * k * k < SMALL ? own.addGram(total, x, rows, k) : addCross(total, x, x, rows, k, k),
    addCross: (total, x, t, rows, k, n) =>
      rows * k * n < SMALL ? own.addCross(total, x, t, rows, k, n) : addCross(total, x, t, rows, k, n),
  };
}
