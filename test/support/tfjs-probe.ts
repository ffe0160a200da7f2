// Run by test/tfjs-node.test.ts under several versions of Node.js: loads TensorFlow.js, uses it, prints one line.
import { loadTensorFlow } from '../../src/node/tfjs.js';

const prefer = process.argv[2] === 'wasm' ? 'wasm' : 'node';
const { tf, backend, note } = await loadTensorFlow({ prefer });
const product = tf.matMul(
  tf.tensor2d([
    [1, 2],
    [3, 4],
  ]),
  tf.tensor2d([
    [5, 6],
    [7, 8],
  ]),
);

// Every weight 1: a convolution of ones over ones counts the taps, the dense layer adds up its inputs.
const ones = { kernelInitializer: 'ones' as const, biasInitializer: 'zeros' as const };
const model = tf.sequential({
  layers: [
    tf.layers.conv2d({ inputShape: [4, 4, 2], filters: 3, kernelSize: 3, padding: 'same', ...ones }),
    tf.layers.maxPooling2d({ poolSize: 2 }),
    tf.layers.flatten(),
    tf.layers.dense({ units: 1, ...ones }),
  ],
});
model.compile({ optimizer: 'sgd', loss: 'meanSquaredError', metrics: ['mse'] });
const images = tf.ones([5, 4, 4, 2]);
const [loss] = [model.evaluate(images, tf.zeros([5, 1]), { batchSize: 2 })].flat();

// The top-k kernel and string tensors are where tfjs-node calls functions that Node.js 23 removed.
const top = tf.topk(tf.tensor1d([3, 9, 4]), 2).indices;
const text = tf.tensor1d(['a', 'bc']);
process.stdout.write(
  `${JSON.stringify({
    node: process.version,
    backend,
    active: tf.getBackend(),
    note: note ?? null,
    product: [...product.dataSync()],
    predicted: [model.predict(images)].flat()[0]?.dataSync()[0],
    loss: loss?.dataSync()[0],
    top: [...top.dataSync()],
    text: [...text.dataSync()],
    handlers: process.listenerCount('uncaughtException') + process.listenerCount('unhandledRejection'),
  })}\n`,
);
