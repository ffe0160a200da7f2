// TensorFlow.js in headless Chromium predicts what it predicts in Node.js.
import { copyFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { packedHandler } from '../../src/tfjs/index.js';
import { need } from '../support/needs.js';
import type { Predictions } from './hosts/tfjs.js';
import { bundleHosts } from './support/bundle.js';
import { launch, resultOf } from './support/chromium.js';
import { packedDigits, testDigits } from './support/digits.js';
import { serve } from './support/server.js';

const test = suite('TensorFlow.js in Chromium');
const COUNT = 100;

need(test, 'chromium')('a packed model over HTTP, as in Node.js within 1e-4', async ({ chromium }) => {
  const bytes = await packedDigits();
  const { pixels, labels } = testDigits(COUNT);
  const { tf } = await loadTensorFlow();
  const network = await tf.loadLayersModel(packedHandler(bytes, { tf }));
  const images = tf.tensor(
    Float32Array.from(pixels, (p) => p / 255),
    [COUNT, 28, 28, 1],
  );
  const wanted = await (network.predict(images) as ReturnType<typeof tf.tensor>).data();
  const right = labels.filter((label, i) => {
    const row = [...wanted.subarray(10 * i, 10 * i + 10)];
    return row.indexOf(Math.max(...row)) === label;
  });
  assert.ok(right.length >= 97, `${right.length} of ${COUNT} digits are right`);

  const folder = await bundleHosts(['tfjs.ts']);
  writeFileSync(path.join(folder, 'digits.safetensors'), bytes);
  writeFileSync(path.join(folder, 'digits.bin'), pixels);
  const html =
    '<!doctype html><meta charset="utf-8"><title>Test</title><script type="module" src="tfjs.js"></script>';
  writeFileSync(path.join(folder, 'tfjs.html'), html);
  const wasm = createRequire(import.meta.url).resolve(
    '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm.wasm',
  );
  for (const kind of ['', '-simd', '-threaded-simd']) {
    const file = `tfjs-backend-wasm${kind}.wasm`;
    copyFileSync(path.join(path.dirname(wasm), file), path.join(folder, file));
  }
  const server = await serve(folder);
  const browser = await launch(chromium);
  try {
    for (const policy of ['plain', 'isolated']) {
      const found = await resultOf<Predictions>(
        browser,
        `${server.origin}/${policy}/tfjs.html`,
        'predictions',
      );
      for (const [backend, scores] of Object.entries(found)) {
        const where = `TensorFlow.js ${tf.version_core}, ${backend} backend, Chromium ${browser.version()}, ${policy}`;
        if (typeof scores === 'string') {
          assert.is(backend, 'webgl', `${where}: ${scores}`);
          process.stdout.write(`\nRAN: nothing in ${where}: ${scores} in this headless build\n`);
          continue;
        }
        assert.is(scores.length, wanted.length);
        const largest = scores.reduce(
          (most, score, i) => Math.max(most, Math.abs(score - (wanted[i] as number))),
          0,
        );
        assert.ok(largest <= 1e-4, `${where}: ${largest}`);
        process.stdout.write(
          `\nRAN: ${COUNT} predictions in ${where}, largest difference ${largest.toExponential(1)}\n`,
        );
      }
    }
  } finally {
    await browser.close();
    server.close();
  }
});

test.run();
