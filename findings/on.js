import * as tf from '@tensorflow/tfjs';
import '@tensorflow/tfjs-backend-wasm';

/** The values that one backend computes, as plain numbers. */
export async function on(backend, compute) {
  await tf.setBackend(backend);
  await tf.ready();
  const values = tf.tidy(() => Array.from(compute().dataSync()));
  console.log(backend.padEnd(5), values.join(' '));
  return values;
}
