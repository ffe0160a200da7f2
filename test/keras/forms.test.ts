// The forms that lists, names and configurations take in legacy files: the same weights, whatever the writer.
import { File, FS, type Group, ready } from 'h5wasm';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type KerasModel, loadModelWeights, openKeras, saveModelWeights } from '../../src/keras/index.js';

type Attribute = string | string[] | Float64Array | number;

let made = 0;

async function h5(build: (file: File) => void): Promise<Uint8Array> {
  await ready;
  const path = `/forms-${made++}.h5`;
  const file = new File(path, 'w');
  build(file);
  file.close();
  const bytes = FS?.readFile(path) as Uint8Array;
  FS?.unlink(path);
  return bytes;
}

/** An attribute with text of a fixed length where `size` says it, else of variable length. */
function put(at: File | Group, name: string, value: Attribute, size?: number): void {
  const fixed = size === undefined ? null : `S${size}`;
  if (value instanceof Float64Array) at.create_attribute(name, value, [value.length]);
  else at.create_attribute(name, value, Array.isArray(value) ? [value.length] : null, fixed);
}

const dataset = (at: File | Group, name: string, shape: number[], start: number) => {
  const size = shape.reduce((product, n) => product * n, 1);
  at.create_dataset({ name, data: Float32Array.from({ length: size }, (_, i) => start + i), shape });
};

const LAYERS = [
  { class_name: 'Dense', config: { name: 'first', units: 3 } },
  { class_name: 'Flatten', config: { name: 'flat' } },
  { class_name: 'Dense', config: { name: 'last', units: 2 } },
];
const dict = { class_name: 'Sequential', config: { name: 'small', layers: LAYERS } };
const IDS = ['first/kernel', 'first/bias', 'last/kernel', 'last/bias'];
const SHAPES = [[4, 3], [3], [3, 2], [2]];

interface Form {
  readonly config?: object | null;
  /** Bytes of each text, 0 bytes at its end included; without it, of variable length. */
  readonly fixed?: number;
  /** How many names stand in one attribute: `layer_names0`, ... Default: all, in `layer_names`. */
  readonly chunk?: number;
  /** A weight's name by its layer's and its own. */
  readonly weight?: (layer: string, name: string) => string;
  /** Group of the layers; default: `model_weights`. */
  readonly root?: string;
}

const write = ({ config = dict, fixed, chunk, weight, root = 'model_weights' }: Form) =>
  h5((file) => {
    if (config) put(file, 'model_config', JSON.stringify(config), fixed && JSON.stringify(config).length + 1);
    const top = root === '' ? file : file.create_group(root);
    const list = (at: File | Group, name: string, values: string[]) => {
      if (values.length === 0) put(at, name, new Float64Array(0));
      else if (chunk === undefined) put(at, name, values, fixed);
      else
        for (let n = 0; n * chunk < values.length; n++)
          put(at, `${name}${n}`, values.slice(n * chunk, (n + 1) * chunk), fixed);
    };
    list(top, 'layer_names', ['first', 'flat', 'last']);
    for (const [i, layer] of ['first', 'flat', 'last'].entries()) {
      const group = top.create_group(layer);
      const names = layer === 'flat' ? [] : ['kernel', 'bias'];
      const stored = names.map((name) => weight?.(layer, name) ?? `${layer}/${name}:0`);
      list(group, 'weight_names', stored);
      for (const [k, name] of stored.entries()) {
        const parts = name.split('/');
        let at: Group = group;
        for (const part of parts.slice(0, -1))
          at = at.keys().includes(part) ? (at.get(part) as Group) : at.create_group(part);
        dataset(at, parts.at(-1) as string, SHAPES[i + k] as number[], 100 * (i + k));
      }
    }
  });

const about = (model: KerasModel) =>
  model.weights.map(({ id, shape }) => [id, shape, model.read(id)[0], model.read(id).length]);

const expected = IDS.map((id, i) => {
  const shape = SHAPES[i] as number[];
  return [id, shape, 100 * i, shape.reduce((product, n) => product * n, 1)];
});

const FORMS: readonly [what: string, form: Form][] = [
  ['lists of variable length', {}],
  ['lists and configuration of fixed length', { fixed: 24 }],
  ['numbered chunks', { chunk: 2 }],
  ['numbered chunks of one name, of fixed length', { chunk: 1, fixed: 24 }],
  ['a configuration that is a bare list', { config: { class_name: 'Sequential', config: LAYERS } }],
  ['a configuration of 200 KB', { config: { ...dict, note: 'x'.repeat(200_000) } }],
  ['layers at the root of the file', { root: '' }],
  ['names without the number of the output', { weight: (layer, name) => `${layer}/${name}` }],
  ['names without their layer', { weight: (_, name) => `${name}:0` }],
  ['names with their layer twice', { weight: (layer, name) => `${layer}/${layer}/${name}:0` }],
  ['names under that of the model', { weight: (layer, name) => `small/${layer}/${name}:0` }],
  ['names with a number of the graph', { weight: (layer, name) => `${layer}_1/${name}:0` }],
];

for (const [what, form] of FORMS) {
  test(`whole models: ${what}`, async () => {
    const model = await openKeras(await write(form), 'forms.h5');
    assert.equal(about(model), expected);
    assert.equal(new Set(model.weights.map(({ className }) => className)), new Set(['Dense']));
    const negated = loadModelWeights(model).map((layer) => ({
      ...layer,
      weights: layer.weights.map(({ id, values }) => ({ id, values: values.map((v) => 1 - v) })),
    }));
    const again = await openKeras(await saveModelWeights(model, negated), 'again.h5');
    assert.equal(again.architecture, model.architecture);
    assert.equal(
      about(again),
      expected.map(([id, shape, first, size]) => [id, shape, 1 - Number(first), size]),
    );
    model.close();
    again.close();
  });
}

test('weights alone, in the same forms', async () => {
  for (const form of [{}, { fixed: 24 }, { chunk: 1 }]) {
    const model = await openKeras(await write({ ...form, config: null, root: '' }), 'weights.h5');
    assert.is(model.architecture, undefined);
    assert.equal(about(model), expected);
    model.close();
  }
});

test('Keras 0: layers and parameters by their numbers, read and written', async () => {
  const shapes = [[4, 3], [3], [], [3, 2], [2]];
  const bytes = await h5((file) => {
    put(file, 'nb_layers', 3);
    for (const [n, params] of [shapes.slice(0, 2), [], shapes.slice(3)].entries()) {
      const group = file.create_group(`layer_${n}`);
      put(group, 'nb_params', params.length);
      for (const [k, shape] of params.entries()) dataset(group, `param_${k}`, shape, 100 * (n + k));
    }
  });
  const model = await openKeras(bytes, 'zero.h5');
  const ids = ['layer_0/param_0', 'layer_0/param_1', 'layer_2/param_0', 'layer_2/param_1'];
  assert.equal(
    about(model),
    expected.map(([, ...rest], i) => [ids[i], ...rest]),
  );
  assert.is(model.parameters, 12 + 3 + 6 + 2);
  const saved = await saveModelWeights(model, new Map([['layer_2/param_1', Float32Array.of(7, 8)]]));
  const again = await openKeras(saved, 'again.h5');
  assert.equal(again.read('layer_2/param_1'), Float32Array.of(7, 8));
  assert.equal(again.read('layer_0/param_0'), model.read('layer_0/param_0'));
  model.close();
  again.close();
});

test('weights of the model itself, beside layers and without any', async () => {
  for (const layers of [true, false]) {
    const bytes = await h5((file) => {
      if (layers) {
        put(file, 'layer_names', ['dense']);
        const group = file.create_group('dense');
        put(group, 'weight_names', ['dense/kernel:0']);
        dataset(group.create_group('dense'), 'kernel:0', [4, 3], 0);
      } else put(file, 'layer_names', new Float64Array(0));
      const top = file.create_group('top_level_model_weights');
      put(top, 'weight_names', ['gain:0']);
      dataset(top, 'gain:0', [3, 2], 5);
    });
    const model = await openKeras(bytes, 'top.h5');
    const names = model.weights.map(({ id }) => id);
    assert.equal(names, [...(layers ? ['dense/kernel'] : []), 'top_level_model_weights/gain']);
    assert.equal(model.read('top_level_model_weights/gain'), Float32Array.of(5, 6, 7, 8, 9, 10));
    model.close();
  }
});

test.run();
