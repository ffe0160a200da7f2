/** The network: five blocks of convolutions, each followed by a ReLU, with pooling and dropout between them. */
import type { Sequential } from '@tensorflow/tfjs';
import type { TensorFlow } from '../../src/tfjs/index.js';

/** Channels of the convolutions, all 3 x 3 with padding "same"; a 0 stands for pooling and dropout. */
const CHANNELS = [32, 32, 32, 48, 48, 0, 80, 80, 80, 80, 80, 0, 128, 128, 128, 128, 128];

/** 1,071,542 parameters, for images of 32 x 32 x 3 with values from 0 to 1, and ten classes. */
export function buildNetwork(tf: TensorFlow, seed: number): Sequential {
  const { layers } = tf;
  let next = seed;
  const he = () => tf.initializers.heNormal({ seed: next++ });
  const network = tf.sequential();
  CHANNELS.forEach((filters, i) => {
    if (filters === 0) {
      network.add(layers.maxPooling2d({ poolSize: 2 }));
      network.add(layers.dropout({ rate: 0.15 }));
      return;
    }
    const shape = i === 0 ? { inputShape: [32, 32, 3] } : {};
    network.add(
      layers.conv2d({ filters, kernelSize: 3, padding: 'same', kernelInitializer: he(), ...shape }),
    );
    network.add(layers.activation({ activation: 'relu' }));
  });
  network.add(layers.globalMaxPooling2d({}));
  network.add(layers.dropout({ rate: 0.2 }));
  network.add(layers.dense({ units: 500, kernelInitializer: he() }));
  network.add(layers.activation({ activation: 'relu' }));
  network.add(layers.dropout({ rate: 0.2 }));
  network.add(layers.dense({ units: 10, kernelInitializer: tf.initializers.glorotUniform({ seed: next }) }));
  network.add(layers.activation({ activation: 'softmax' }));
  return network;
}
