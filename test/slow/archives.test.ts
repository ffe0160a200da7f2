// The parity models as Keras 3 writes them today: `.keras` archives, whose configurations differ from those of `.h5`.
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { findPython } from '../../scripts/lib/project.js';
import { loadKernels } from '../../src/kernels/index.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { need, run, tempDir } from '../support/needs.js';
import { folder, names, parity } from '../tfjs/support.js';

const scratch = tempDir();

/**
 * Archives hold an object once, under the first of its owners, `.h5` files under each: a model that is called both by the whole
 * model and by another model inside has its weights in one place alone, and is refused by name.
 */
const REFUSED: Readonly<Record<string, RegExp>> = {
  graph_model_of_models: /layer functional\/dense \(Dense\) expected 2 weights, got 0; .* save it as \.h5/,
};

need(test, 'keras')('archives of Keras 3 run as its .h5 files do', async () => {
  for (const script of ['make_models.py', 'make_graphs.py']) {
    const args = [path.join(folder, script), '--archives', scratch];
    const made = await run(findPython(), args, { timeout: 600_000 });
    assert.is(made.status, 0, made.output);
  }
  const { tf } = await loadTensorFlow();
  const kernels = await loadKernels();
  // Models of Keras 1 and 2 have other makers.
  const modern = names.filter((name) => !/^(keras1|k2)_/.test(name));
  assert.equal(
    readdirSync(scratch).sort(),
    modern.map((name) => `${name}.keras`),
  );
  assert.ok(modern.length >= 40, String(modern.length));
  const faults: string[] = [];
  for (const name of modern) {
    try {
      const { float, int4 } = await parity(tf, name, kernels, path.join(scratch, `${name}.keras`));
      const isRefused = REFUSED[name] !== undefined;
      if (isRefused || !(float <= 1e-4 && int4 <= 1e-4)) faults.push(`${name}: ${float}, ${int4}`);
    } catch (error) {
      const { message } = error as Error;
      if (!REFUSED[name]?.test(message)) faults.push(message);
    }
  }
  assert.equal(faults, []);
});

test.run();
