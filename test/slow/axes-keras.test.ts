// Every layer class with weights: int4 per channel here and in NumPy, the same floats, read back by Keras.
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { KerasModel } from '../../src/keras/index.js';
import { loadKernels } from '../../src/kernels/index.js';
import { openKeras, saveQuantized } from '../../src/node/models.js';
import { quantizeModel } from '../../src/pipeline/quantize.js';
import { need, root, runPython, tempDir } from '../support/needs.js';

const test = suite('axes, with Keras');
const keras = need(test, 'keras');
const folder = tempDir();
const script = readFileSync(path.join(root, 'test/keras/models.py'), 'utf8');
const ENDINGS = ['.keras', '.h5', '.weights.h5', '.weights.json'] as const;

keras('Keras reads back exactly what NumPy makes of each documented kernel shape', async () => {
  await runPython(script, ['make', folder]);
  mkdirSync(path.join(folder, 'out'));
  const kernels = await loadKernels();
  const files = readdirSync(folder).filter(
    (name) => ENDINGS.some((e) => name.endsWith(e)) && !/_\d{5}\./.test(name),
  );
  for (const file of files) {
    const model = await openKeras(path.join(folder, file));
    const { model: quantized, report } = quantizeModel(model, { default: { scheme: 'int4' } }, { kernels });
    const guesses = report.tensors.filter(({ guess }) => guess).map(({ id }) => id);
    if (model.architecture) assert.equal(guesses, [], file);
    else assert.ok(guesses.length > 0, file);
    await saveQuantized(quantized, model, path.join(folder, 'out', file));
    model.close();
  }
  const checked = (await runPython(script, ['check', folder])).trim().split('\n');
  assert.is(checked.length, 7 + 5 + 4, checked.join());
});

keras('a model has the same weights, by name, order and kind, in .keras and in .h5', async () => {
  for (const name of ['conv', 'recurrent', 'volume', 'nested', 'types', 'attention']) {
    const [a, b] = [
      await openKeras(path.join(folder, `${name}.h5`)),
      await openKeras(path.join(folder, `${name}.keras`)),
    ];
    // Registered under an older name, which the legacy format stores.
    const about = (model: KerasModel) =>
      model.weights.map(({ id, layer, className, name, shape, dtype }) => ({
        id,
        layer,
        className: className.replace('GroupedQuery', 'GroupQuery'),
        name,
        shape,
        dtype,
      }));
    assert.equal(about(b), about(a), name);
    for (const { id } of a.weights) assert.equal(b.readBytes(id), a.readBytes(id), `${name}: ${id}`);
    a.close();
    b.close();
  }
});

test.run();
