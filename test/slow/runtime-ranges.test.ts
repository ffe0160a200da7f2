// Ranges from calibration against those of each sample: how near both are to float32 on the same decoded weights, and how fast.

import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadKernels } from '../../src/kernels/index.js';
import type { ModelSource } from '../../src/model.js';
import { openDataset } from '../../src/node/datasets.js';
import { openKeras } from '../../src/node/models.js';
import { storeRanges } from '../../src/pipeline/calibrate/ranges.js';
import { quantizeModel } from '../../src/pipeline/quantize.js';
import { loadNetwork } from '../../src/runtime/index.js';
import { need } from '../support/needs.js';

const IMAGES = 300;
const preprocess = { scale: 1 / 255 };
const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[values.length >> 1] as number;

need(test, 'shared')('the CIFAR-10 network: within 1e-3 of float32 either way', async ({ shared }) => {
  const kernels = await loadKernels();
  const model = await openKeras(path.join(shared, 'cifar10_model.h5'));
  const [images, samples] = [await openDataset(shared), await openDataset(shared, { split: 'train' })];
  for (const scheme of ['int4', 'int2', 'binary'] as const) {
    const recipe = { default: { scheme, granularity: 'channel' } } as const;
    const { model: packed } = quantizeModel(model, recipe, { kernels });
    const made = await storeRanges(packed, { dataset: samples, preprocess, samples: 512 });
    if (!('model' in made)) throw new Error(made.reason);
    const { file, kerasVersion, backend, architecture, weights } = packed;
    const decoded: ModelSource = {
      ...{ file, kerasVersion, backend, architecture, weights, read: (id) => packed.read(id) },
    };
    const float = await loadNetwork(decoded);
    const ways = [await loadNetwork(made.model), await loadNetwork(made.model, { ranges: 'stored' })];
    const found = ways.map(() => ({ worst: 0, mean: 0, others: 0, times: [] as number[] }));
    for (const { x } of images.batches({ batchSize: 1, limit: IMAGES, preprocess })) {
      const want = float.run(x);
      ways.forEach((network, i) => {
        const own = found[i] as (typeof found)[number];
        const start = performance.now();
        const got = network.run(x);
        own.times.push(performance.now() - start);
        const difference = want.reduce((most, v, k) => Math.max(most, Math.abs(v - (got[k] as number))), 0);
        own.worst = Math.max(own.worst, difference);
        own.mean += difference / IMAGES;
        if (got.indexOf(Math.max(...got)) !== want.indexOf(Math.max(...want))) own.others++;
      });
    }
    for (const [i, { worst, mean, others, times }] of found.entries()) {
      const way = i === 0 ? 'per sample' : 'stored';
      const numbers = `largest difference ${worst.toExponential(1)}, mean ${mean.toExponential(1)}`;
      console.log(`${scheme}, ${way}: ${numbers}, other classes ${others}, ${median(times).toFixed(2)} ms`);
      assert.ok(worst < 1e-3, `${scheme}, ${way}: ${worst}`);
      assert.ok(others <= 1, `${scheme}, ${way}: ${others} other classes`);
    }
  }
});

test.run();
