import type { Algebra } from '../../schemes/fit/algebra.js';
import type { TensorFlow } from '../../tfjs/types.js';

/** The matrix products of TensorFlow.js, on whichever backend it computes. */
export function tensorFlowAlgebra(tf: TensorFlow): Algebra {
  // The values stay out of what `tidy` returns: it looks through every element for tensors.
  const floats = (build: () => ReturnType<TensorFlow['matMul']>): Float32Array => {
    const result = tf.tidy(build);
    const values = result.dataSync() as Float32Array;
    result.dispose();
    return values;
  };
  return {
    product: (a, b, m, k, n) => floats(() => tf.matMul(tf.tensor2d(a, [m, k]), tf.tensor2d(b, [k, n]))),
    moments(x, t, rows, k, n) {
      const samples = tf.tensor2d(x, [rows, k]);
      // The WebAssembly backend multiplies with a transposing flag by a plain loop, many times slower.
      const across = tf.transpose(samples);
      const gram = floats(() => tf.matMul(across, samples));
      const cross = floats(() => tf.matMul(across, tf.tensor2d(t, [rows, n])));
      tf.dispose([samples, across]);
      return { gram, cross };
    },
  };
}
