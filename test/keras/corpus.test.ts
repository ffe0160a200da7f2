// Files that other people made, with what is known of each in index.tsv: nothing of them is executed. What Keras and
// TensorFlow.js say to them is in test/slow/corpus.test.ts.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BitnibbleError } from '../../src/errors.js';
import { type LayerNode, openKeras as openBytes } from '../../src/keras/index.js';
import { loadKernels } from '../../src/kernels/index.js';
import { openKeras } from '../../src/node/models.js';
import { packedBytes } from '../../src/packed/index.js';
import { quantizeModel } from '../../src/pipeline/quantize.js';
import { sizeOf } from '../../src/shape.js';
import { type Row, rowsOf } from '../support/corpus.js';
import { need } from '../support/needs.js';

const test = suite('corpus');
const shared = need(test, 'shared');

/** What is no Keras model, by the number that its name begins with, and the code that says so. */
const REFUSED: Readonly<Record<string, string>> = {
  '080': 'not-hdf5',
  '082': 'not-hdf5',
  '083': 'no-model-config',
  '085': 'no-model-config',
  '087': 'no-model-config',
};

/** Classes as the index lists them: sub-models not, wrappers and what they hold. */
function* classesOf(layers: readonly LayerNode[]): Generator<string> {
  for (const { className, isModel, children } of layers) {
    if (isModel) yield* classesOf(children);
    else {
      yield className;
      if (className.includes('/')) yield className.split('/')[0] as string;
    }
  }
}

shared(
  'every file opens with its parameters and classes, or is refused by its kind of fault',
  async ({ shared }) => {
    const rows = rowsOf(shared);
    assert.is(rows.length, 45);
    for (const { file, version, kind, className, classes, parameters } of rows) {
      const name = path.basename(file);
      const code = REFUSED[name.slice(0, 3)];
      if (code) {
        const error = await openKeras(file).then(String, (thrown) => thrown);
        assert.instance(error, BitnibbleError, name);
        assert.is(error.code, code, name);
        assert.match(error.message, name);
        continue;
      }
      const model = await openKeras(file);
      assert.is(model.parameters, Number(parameters), name);
      if (version !== '-') assert.is(model.kerasVersion, version, name);
      assert.is(model.architecture === undefined, kind.startsWith('weights'), name);
      if (className !== '-') assert.is(model.architecture?.class_name, className, name);
      if (classes !== '-') {
        assert.equal([...new Set(classesOf(model.layers))].sort(), classes.split(',').sort(), name);
      }
      const ids = new Set(model.weights.map(({ id }) => id));
      assert.is(ids.size, model.weights.length, `${name}: ids are unique`);
      for (const { id, shape, layer } of model.weights) {
        assert.ok(id.startsWith(`${layer}/`), `${name}: ${id} of ${layer}`);
        assert.is(model.read(id).length, sizeOf(shape), `${name}: ${id}`);
      }
      model.close();
    }
  },
);

shared('a layer of the architecture owns every weight, where there is one', async ({ shared }) => {
  for (const { file, classes } of rowsOf(shared)) {
    if (classes === '-') continue;
    const model = await openKeras(file);
    const paths = new Map<string, LayerNode>();
    const visit = (layers: readonly LayerNode[], prefix: string): void => {
      for (const layer of layers) {
        paths.set(prefix + layer.name, layer);
        if (layer.isModel) visit(layer.children, `${prefix}${layer.name}/`);
      }
    };
    visit(model.layers, '');
    for (const { id, layer, className } of model.weights) {
      const owner = paths.get(layer);
      assert.ok(owner, `${path.basename(file)}: ${id}`);
      assert.ok(
        className === owner.className || className.startsWith(`${owner.className}/`),
        `${id}: ${className}`,
      );
    }
    model.close();
  }
});

shared('.keras weights have the names and the order that .h5 weights have', async ({ shared }) => {
  const [h5, keras] = await Promise.all(
    ['h5', 'keras'].map((ending) => openKeras(path.join(shared, `cifar10_model.${ending}`))),
  );
  assert.ok(h5 && keras);
  assert.is(keras.parameters, 1_071_542);
  const about = ({ id, layer, className, name, shape, dtype }: (typeof keras.weights)[number]) => ({
    id,
    layer,
    className,
    name,
    shape,
    dtype,
  });
  assert.equal(keras.weights.map(about), h5.weights.map(about));
  for (const { id } of keras.weights) assert.equal(keras.read(id), h5.read(id), id);
  h5.close();
  keras.close();
});

shared('every model of the corpus quantizes to a packed file', async ({ shared }) => {
  const kernels = await loadKernels();
  for (const { file } of rowsOf(shared)) {
    if (REFUSED[path.basename(file).slice(0, 3)]) continue;
    const model = await openKeras(file);
    const { model: quantized, report } = quantizeModel(model, { default: { scheme: 'int4' } }, { kernels });
    assert.is(report.parameters, model.parameters);
    assert.ok(packedBytes(quantized).length > 0);
    model.close();
  }
});

shared('a file cut off anywhere is refused with a code', async ({ shared }) => {
  for (const start of ['011', '066', '078', '002']) {
    const { file } = rowsOf(shared).find((row) => path.basename(row.file).startsWith(start)) as Row;
    const bytes = new Uint8Array(readFileSync(file));
    for (let length = 0; length < bytes.length; length += Math.ceil(bytes.length / 40)) {
      const outcome = await openBytes(bytes.subarray(0, length), 'cut').then(
        (model) => {
          // Trailing space of an HDF5 file may go unnoticed; every weight must still be there.
          for (const { id } of model.weights) model.read(id);
          model.close();
        },
        (error) => error,
      );
      if (outcome !== undefined)
        assert.instance(outcome, BitnibbleError, `${start} at ${length}: ${outcome}`);
    }
  }
});

test.run();
