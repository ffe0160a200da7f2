// The parity models as Keras 3 writes them today: `.keras` archives, whose configurations differ from those of `.h5`.
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { findPython } from '../../scripts/lib/project.js';
import { loadKernels } from '../../src/kernels/index.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { need, run, tempDir } from '../support/needs.js';
import { folder, names, parity } from '../tfjs/support.js';

const scratch = tempDir();

need(test, 'keras')('archives of Keras 3 run as its .h5 files do', async () => {
  const script = path.join(folder, 'make_models.py');
  const made = await run(findPython(), [script, '--archives', scratch], { timeout: 600_000 });
  assert.is(made.status, 0, made.output);
  const { tf } = await loadTensorFlow();
  const kernels = await loadKernels();
  const modern = names.filter((name) => !name.startsWith('keras1_'));
  assert.ok(modern.length >= 25, String(modern.length));
  for (const name of modern) {
    const { float, int4 } = await parity(tf, name, kernels, path.join(scratch, `${name}.keras`));
    assert.ok(float <= 1e-4 && int4 <= 1e-4, `${name}: ${float}, ${int4}`);
  }
});

test.run();
