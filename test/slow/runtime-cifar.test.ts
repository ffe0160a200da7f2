// The CIFAR-10 network on real images: integers against float32 on the same decoded weights.

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadKernels } from '../../src/kernels/index.js';
import type { ModelSource } from '../../src/model.js';
import { openKeras } from '../../src/node/models.js';
import { quantizeModel } from '../../src/pipeline/quantize.js';
import { loadNetwork } from '../../src/runtime/index.js';
import { need } from '../support/needs.js';

const shared = need(test, 'shared');
const IMAGES = 100;

/** Images of the test batch, pixels from 0 to 1, channels last. */
function images(folder: string): Float32Array {
  const bytes = readFileSync(path.join(folder, 'cifar-10-batches-bin', 'test_batch.bin'));
  const out = new Float32Array(IMAGES * 3072);
  for (let i = 0; i < IMAGES; i++)
    for (let channel = 0; channel < 3; channel++)
      for (let p = 0; p < 1024; p++)
        out[i * 3072 + 3 * p + channel] = (bytes[i * 3073 + 1 + channel * 1024 + p] as number) / 255;
  return out;
}

const LARGEST = { int4: 1e-3, int2: 1e-3, binary: 1e-3 } as const;

for (const scheme of ['int4', 'int2', 'binary'] as const) {
  shared(
    `${scheme}: probabilities within 1e-3 of float32 on decoded weights, all classes the same`,
    async (paths) => {
      const kernels = await loadKernels();
      const model = await openKeras(path.join(paths.shared, 'cifar10_model.h5'));
      const recipe = { default: { scheme, granularity: 'channel' } } as const;
      const { model: packed } = quantizeModel(model, recipe, { kernels });
      const { file, kerasVersion, backend, architecture } = packed;
      const weights = packed.weights.map(({ id, layer, className, name, shape, dtype }) => ({
        ...{ id, layer, className, name, shape, dtype },
      }));
      const decoded: ModelSource = {
        ...{ file, kerasVersion, backend, architecture, weights, read: (id) => packed.read(id) },
      };
      const x = images(paths.shared);
      const [float, integer] = [(await loadNetwork(decoded)).run(x), (await loadNetwork(packed)).run(x)];
      let worst = 0;
      let others = 0;
      for (let i = 0; i < IMAGES; i++) {
        const [a, b] = [float, integer].map((all) => [...all.subarray(10 * i, 10 * i + 10)]) as [
          number[],
          number[],
        ];
        a.forEach((value, k) => {
          worst = Math.max(worst, Math.abs(value - (b[k] as number)));
        });
        if (a.indexOf(Math.max(...a)) !== b.indexOf(Math.max(...b))) others++;
      }
      console.log(
        `${scheme}: largest difference ${worst.toExponential(1)}, other classes ${others} of ${IMAGES}`,
      );
      assert.ok(worst <= LARGEST[scheme], String(worst));
      assert.is(others, 0);
    },
  );
}

test.run();
