// TensorFlow.js in headless Chromium predicts what it predicts in Node.js.
import { copyFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { loadKernels } from '../../src/kernels/index.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { packedBytes } from '../../src/packed/index.js';
import { packedHandler } from '../../src/tfjs/index.js';
import { need, root } from '../support/needs.js';
import { quantized } from '../tfjs/support.js';
import type { Calibrated, Loaded, Predictions } from './hosts/tfjs.js';
import { launch, resultOf } from './support/chromium.js';
import { packedDigits, testDigits } from './support/digits.js';
import { chromiumErrors, PARITY } from './support/parity.js';
import { serve } from './support/server.js';
import { COUNT, pageFolder } from './support/tfjs-page.js';

const test = suite('TensorFlow.js in Chromium');

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

  const folder = await pageFolder();
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

need(test, 'chromium')('every kind of source of a packed file, with progress', async ({ chromium }) => {
  const { float, packed } = await quantized('lstm_tagger', await loadKernels());
  const bytes = packedBytes(packed);
  float.close();
  const { tf } = await loadTensorFlow();
  const network = await tf.loadLayersModel(packedHandler(bytes, { tf }));
  const shape = (network.inputs[0]?.shape ?? []).map((n) => n ?? 1);
  const output = network.predict(tf.ones(shape, 'int32')) as ReturnType<typeof tf.tensor>;
  const scores = [...(await output.data())];
  const wanted = scores.reduce((sum, value, i) => sum + value * (i + 1), 0);

  const folder = await pageFolder();
  writeFileSync(path.join(folder, 'tagger.safetensors'), bytes);
  const server = await serve(folder);
  const browser = await launch(chromium);
  try {
    const found = await resultOf<Record<string, Loaded>>(
      browser,
      `${server.origin}/plain/tfjs.html#sources`,
      'sources',
    );
    assert.is(Object.keys(found).length, 10);
    for (const [what, { score, progress }] of Object.entries(found)) {
      assert.ok(
        Math.abs(score - wanted) <= 1e-4 * Math.abs(wanted),
        `${what}: ${score}, in Node.js ${wanted}`,
      );
      if (/^bytes$|buffer/.test(what)) {
        assert.equal(progress, [], what);
        continue;
      }
      const total = what === 'a response made by hand' ? null : bytes.length;
      assert.equal(progress.at(-1), [bytes.length, total], what);
      assert.ok(
        progress.every(([done, all], i) => all === total && done > (progress[i - 1]?.[0] ?? -1)),
        what,
      );
    }
    process.stdout.write(
      `\nRAN: packedHandler of ${Object.keys(found).join(', ')} in Chromium ${browser.version()}\n`,
    );
  } finally {
    await browser.close();
    server.close();
  }
});

need(test, 'chromium')('eleven architectures, as in Keras within 1e-4', async ({ chromium }) => {
  const { version, errors } = await chromiumErrors(chromium);
  assert.equal(Object.keys(errors), PARITY);
  const worst = Object.entries(errors).map(([name, { float, int4 }]) => {
    assert.ok(float <= 1e-4 && int4 <= 1e-4, `${name}: ${float}, ${int4}`);
    return Math.max(float, int4);
  });
  process.stdout.write(
    `\nRAN: ${PARITY.length} architectures, float and int4, in Chromium ${version}, largest error against Keras ${Math.max(...worst).toExponential(1)}\n`,
  );
});

need(test, 'chromium')('one bit, calibrated in a page', async ({ chromium }) => {
  const folder = await pageFolder();
  copyFileSync(path.join(root, 'examples/digits/digits.h5'), path.join(folder, 'digits.h5'));
  const server = await serve(folder);
  const browser = await launch(chromium);
  try {
    const address = `${server.origin}/plain/tfjs.html#calibrated`;
    const { divergence, fallbacks } = await resultOf<Calibrated>(browser, address, 'calibrated');
    assert.equal(fallbacks, []);
    assert.ok(
      divergence.calibrated < 0.2 * divergence.dataFree,
      `${divergence.calibrated} calibrated, ${divergence.dataFree} without data`,
    );
    process.stdout.write(
      `\nRAN: calibration to one bit in Chromium ${browser.version()}, divergence ${divergence.calibrated.toPrecision(2)}, without data ${divergence.dataFree.toPrecision(2)}\n`,
    );
  } finally {
    await browser.close();
    server.close();
  }
});

test.run();
