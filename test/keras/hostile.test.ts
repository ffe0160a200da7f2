// Files made to mislead: each is refused with a code that names the file and the object, and soon.

import { type Zippable, zipSync } from 'fflate';
import type { File, Group } from 'h5wasm';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { BitnibbleError } from '../../src/errors.js';
import { layerTree } from '../../src/keras/config.js';
import { bytesSource, openKeras } from '../../src/keras/index.js';
import type { JsonObject } from '../../src/model.js';
import { checkCalls } from '../../src/network/index.js';
import { h5 } from '../support/crafted-h5.js';
import { fakeKeras } from '../support/h5.js';

const data = Float32Array.from({ length: 6 }, (_, i) => i);

/** `GROUP/vars/0`: a dense kernel. */
function dense(file: File | Group, name: string): Group {
  const group = file.create_group(name);
  group.create_group('vars').create_dataset({ name: '0', data, shape: [2, 3] });
  return group;
}

async function refused(bytes: Uint8Array, name: string, options = {}): Promise<BitnibbleError> {
  const error = await openKeras(bytes, name, options)
    .then((model) => {
      for (const { id } of model.weights) model.read(id);
      model.close();
    })
    .catch((thrown) => thrown);
  assert.instance(error, BitnibbleError, `${name}: ${error}`);
  assert.ok(error.message.includes(name), error.message);
  return error;
}

test('links of every kind are refused where Keras writes none', async () => {
  const cases: [string, (file: File) => void][] = [
    ['/soft', (file) => file.create_soft_link('/dense', 'soft')],
    ['/loop', (file) => file.create_soft_link('/loop', 'loop')],
    ['/dangling', (file) => file.create_soft_link('/nowhere', 'dangling')],
    ['/outside', (file) => file.create_external_link('/etc/passwd', '/', 'outside')],
    ['/device', (file) => file.create_external_link('/dev/stdin', '/', 'device')],
  ];
  for (const [path, link] of cases) {
    const bytes = await h5((file) => {
      dense(file, 'dense');
      link(file);
    });
    const { code, message } = await refused(bytes, 'links.h5');
    assert.is(code, 'corrupt-file', path);
    assert.match(message, `links.h5: ${path} is a link`);
  }
});

test('a legacy layer that leads over a link is refused', async () => {
  const bytes = await h5((file) => {
    file.create_attribute('layer_names', ['dense_1']);
    dense(file, 'real').create_attribute('weight_names', ['vars/0']);
    file.create_soft_link('/real', 'dense_1');
  });
  const { code, message } = await refused(bytes, 'legacy.h5');
  assert.is(code, 'corrupt-file');
  assert.match(message, 'legacy.h5: /dense_1 is a link');
});

test('one object of two names is refused: groups in themselves, weights that are one', async () => {
  const bytes = await h5((file) => {
    const group = dense(file, 'dense');
    group.create_hard_link('/dense', 'again');
    group.create_hard_link('/dense', 'and_again');
  });
  const { code, message } = await refused(bytes, 'cycle.h5');
  assert.is(code, 'corrupt-file');
  assert.match(message, '/dense/again, which /dense leads to too');
  const root = await h5((file) => void file.create_hard_link('/', 'root'));
  assert.match((await refused(root, 'root.h5')).message, '/root, which / leads to too');
  const twins = await h5((file) => {
    dense(file, 'dense').get('vars');
    (file.get('dense/vars') as Group).create_hard_link('/dense/vars/0', '1');
  });
  assert.match((await refused(twins, 'twins.h5')).message, '/dense/vars/1, which /dense/vars/0 leads to too');
  const listed = await h5((file) => {
    file.create_attribute('layer_names', ['a', 'b']);
    for (const name of ['a', 'b']) file.create_group(name).create_attribute('weight_names', ['kernel']);
    (file.get('a') as Group).create_dataset({ name: 'kernel', data, shape: [2, 3] });
    (file.get('b') as Group).create_hard_link('/a/kernel', 'kernel');
  });
  assert.match((await refused(listed, 'listed.h5')).message, '/b/kernel, which /a/kernel leads to too');
});

test('an object has one name however its path is spelled', async () => {
  const bytes = await h5((file) => void dense(file, 'dense'));
  const model = await openKeras(bytes, 'spelled.h5');
  const [file] = model.files.h5;
  for (const path of ['dense', '/dense/', '//dense/./vars', 'dense/vars/'])
    assert.is(file?.kind(path), 'group', path);
  assert.is(file?.kind('dense//vars/0'), 'dataset');
  assert.is(file?.kind('dense/none'), undefined);
  model.close();
});

test('names are no longer than there is reason for', async () => {
  const long = 'n'.repeat(1025);
  const object = await h5((file) => void dense(file, long));
  const listed = await h5((file) => {
    file.create_attribute('layer_names', ['n'.repeat(4097)]);
    dense(file, 'dense');
  });
  const named = await h5((file) => {
    (dense(file, 'dense').get('vars') as Group).create_attribute('name', long);
  });
  const nested = await h5((file) => {
    let group: File | Group = file;
    for (let i = 0; i < 5; i++) group = group.create_group(`${i}`.padStart(1000, 'n'));
    dense(group, 'dense');
  });
  const architecture = (layer: JsonObject): JsonObject => ({
    class_name: 'Sequential',
    config: { name: 's', layers: [layer] },
  });
  for (const [bytes, text] of [
    [object, 'an object of / has a name of 1025 characters, expected at most 1024: "nnnn'],
    [listed, 'an item of /@layer_names has a name of 4097 characters, expected at most 4096'],
    [named, '/dense/vars@name has a name of 1025 characters'],
    [nested, 'a weight has a name of 50'],
  ] as const) {
    const { code, message } = await refused(bytes, 'long.h5');
    assert.is(code, 'too-large', message);
    assert.match(message, text);
    assert.ok(message.length < 300, message);
  }
  for (const layer of [
    { class_name: 'Dense', config: { name: long } },
    { class_name: long, config: { name: 'a' } },
    { class_name: 'Dense', registered_name: `P>${long}`, config: { name: 'a' } },
  ] as JsonObject[])
    assert.throws(
      () => layerTree(architecture(layer), 'm'),
      /a layer of the architecture has a name of 102\d/,
    );
});

test('names are only names', async () => {
  const names = ['..', '__proto__', 'constructor', '\\..\\..\\x', 'a b', 'naïve'];
  const bytes = await h5((file) => {
    const layers = file.create_group('layers');
    for (const name of names.slice(1)) dense(layers, name);
  });
  const model = await openKeras(bytes, 'names.h5');
  assert.equal(
    new Set(model.weights.map(({ layer }) => layer)),
    new Set(['__proto__', 'constructor', '../../x', 'a b', 'naïve']),
  );
  for (const { id } of model.weights) assert.equal(model.read(id), data, id);
  model.close();
});

test('a weight that is listed twice, or claims more than there is, is refused', async () => {
  const twice = await h5((file) => {
    file.create_attribute('layer_names', ['dense']);
    dense(file, 'dense').create_attribute('weight_names', ['vars/0', 'vars/0']);
  });
  assert.is((await refused(twice, 'twice.h5')).code, 'corrupt-file');
  const counted = await h5((file) => {
    file.create_attribute('nb_layers', 2 ** 30);
    file.create_group('layer_0').create_attribute('nb_params', 0);
  });
  assert.is((await refused(counted, 'counted.h5')).code, 'missing-weight');
  const absurd = await h5((file) => {
    const layer = file.create_group('layer_0');
    layer.create_attribute('nb_params', 1);
    layer.create_dataset({
      name: 'param_0',
      data: new Float32Array(4),
      shape: [4],
      maxshape: [null],
      chunks: [4],
    });
    file.create_attribute('nb_layers', 1);
    (file.get('layer_0/param_0') as unknown as { resize(shape: number[]): void }).resize([2 ** 40]);
  });
  const { code, message } = await refused(absurd, 'absurd.h5');
  assert.is(code, 'corrupt-file');
  assert.match(message, 'claims 4398046511104 bytes');
});

test('weights that together claim more than the file can hold are refused', async () => {
  type Resizable = { resize(shape: number[]): void };
  const bytes = await h5((file) => {
    const layers = file.create_group('layers');
    for (const name of ['dense', 'dense_1']) {
      const vars = layers.create_group(name).create_group('vars');
      vars.create_dataset({
        name: '0',
        data: new Float32Array(4),
        shape: [4],
        maxshape: [null],
        chunks: [4],
      });
      (vars.get('0') as unknown as Resizable).resize([12 * 2 ** 20]);
    }
  });
  const { code, message } = await refused(bytes, 'claims.h5');
  assert.is(code, 'corrupt-file');
  assert.match(
    message,
    'dense_1/vars/0 and those before it claim 100663296 bytes, expected at most 67108864',
  );
});

test('shapes that contradict the architecture are refused, for every class that states them', async () => {
  const cases: [className: string, config: Record<string, unknown>, weight: string, shape: number[]][] = [
    ['Dense', { units: 3 }, 'kernel', [2, 4]],
    ['Dense', { units: 3 }, 'bias', [4]],
    ['Conv2D', { filters: 3, kernel_size: [3, 3] }, 'kernel', [3, 2, 1, 3]],
    ['Conv2DTranspose', { filters: 3, kernel_size: [2, 2] }, 'kernel', [2, 2, 4, 3]],
    ['DepthwiseConv2D', { depth_multiplier: 2, kernel_size: [2, 2] }, 'depthwise_kernel', [2, 2, 4, 1]],
    ['SeparableConv1D', { filters: 3, kernel_size: [2] }, 'pointwise_kernel', [1, 4, 2]],
    ['Embedding', { input_dim: 5, output_dim: 2 }, 'embeddings', [4, 2]],
    ['LSTM', { units: 2 }, 'kernel', [3, 6]],
    ['GRU', { units: 2 }, 'recurrent_kernel', [3, 6]],
    ['SimpleRNN', { units: 2 }, 'recurrent_kernel', [2, 3]],
  ];
  for (const [className, config, name, shape] of cases) {
    const values = new Float32Array(shape.reduce((n, d) => n * d, 1));
    const layer = { name: 'odd', className, config, weights: [{ name, shape, data: values }] };
    const { code, message } = await refused(await fakeKeras([layer]), 'shapes.h5');
    assert.is(code, 'shape-mismatch', className);
    assert.match(message, `(tensor odd/${name})`);
  }
});

test('weights that are no numbers are refused', async () => {
  const bytes = await h5((file) => {
    file
      .create_group('layers')
      .create_group('dense')
      .create_group('vars')
      .create_dataset({ name: '0', data: ['a', 'b'] });
  });
  const { code, message } = await refused(bytes, 'text.h5');
  assert.is(code, 'unsupported-dtype');
  assert.match(message, '/layers/dense/vars/0');
});

const config = JSON.stringify({
  class_name: 'Sequential',
  config: { name: 's', layers: [{ class_name: 'Dense', config: { name: 'd', units: 3 } }] },
});

async function archive(change: (members: Record<string, Uint8Array>) => void): Promise<Uint8Array> {
  const text = (value: string) => new TextEncoder().encode(value);
  const weights = await h5((file) => dense(file.create_group('layers'), 'dense'));
  const members: Record<string, Uint8Array> = {
    'metadata.json': text('{"keras_version": "3.0.0"}'),
    'config.json': text(config),
    'model.weights.h5': weights,
  };
  change(members);
  return zipSync(members as Zippable, { level: 0 });
}

test('an archive that is whole opens', async () => {
  const model = await openKeras(await archive(() => undefined), 'whole.keras');
  assert.equal(
    model.weights.map(({ id }) => id),
    ['d/kernel'],
  );
  model.close();
});

test('archives with something missing or wrong in them', async () => {
  const text = (value: string) => new TextEncoder().encode(value);
  type Change = (members: Record<string, Uint8Array>) => void;
  const without = (name: string): Change => {
    return (members) => {
      delete members[name];
    };
  };
  const holding = (name: string, bytes: Uint8Array): Change => {
    return (members) => {
      members[name] = bytes;
    };
  };
  const cases: [string, string, Change][] = [
    ['no-model-config', 'config.json', without('config.json')],
    ['missing-weight', 'model.weights.h5', without('model.weights.h5')],
    ['not-hdf5', 'model.weights.h5', holding('model.weights.h5', text('no HDF5'))],
    ['corrupt-file', 'config.json', holding('config.json', text('{"class_name": '))],
    ['corrupt-file', 'config.json', holding('config.json', text('[1]'))],
    ['corrupt-file', 'config.json', holding('config.json', Uint8Array.of(0xff, 0xfe))],
    [
      'unsupported-version',
      'model.weights.npz',
      (m) => {
        m['model.weights.npz'] = text('pickled');
        delete m['model.weights.h5'];
      },
    ],
    ['shape-mismatch', 'd/kernel', holding('config.json', text(config.replace('3', '4')))],
  ];
  for (const [code, named, change] of cases) {
    const error = await refused(await archive(change), 'bad.keras');
    assert.is(error.code, code, named);
    assert.match(error.message, named);
  }
});

test('a pickle among the members is named and never loaded', async () => {
  const pickle = Uint8Array.of(0x80, 4, 0x2e);
  for (const name of ['model.pkl', 'assets/layer/state.PICKLE', 'a/b.joblib', 'x.dill', '__proto__.pkl']) {
    const bytes = await archive((members) => {
      Object.defineProperty(members, name, { value: pickle, enumerable: true });
    });
    const { code, message } = await refused(bytes, 'code.keras');
    assert.is(code, 'holds-code');
    assert.match(message, `member ${name} is a pickle`);
  }
});

test('every truncation of an archive is refused', async () => {
  const bytes = await archive(() => undefined);
  for (let length = 0; length < bytes.length; length += 97) {
    const { code } = await refused(bytes.subarray(0, length), 'cut.keras');
    assert.ok(['corrupt-file', 'not-hdf5'].includes(code), `${length}: ${code}`);
  }
});

test('a compressed archive that states too much is refused before it is unpacked', async () => {
  const bytes = zipSync({
    'config.json': new TextEncoder().encode(config),
    'model.weights.h5': new Uint8Array(2 ** 20),
  });
  // The size of the second member, in its central record, becomes 4 GB.
  const view = new DataView(bytes.buffer);
  const at = bytes.lastIndexOf(0x50, bytes.length - 23);
  assert.ok(at > 0);
  let record = view.getUint32(bytes.length - 6, true);
  record += 46 + view.getUint16(record + 28, true);
  view.setUint32(record + 24, 0xfffffff0, true);
  const { code, message } = await refused(bytes, 'bomb.keras');
  assert.is(code, 'corrupt-file');
  assert.match(message, 'model.weights.h5');
});

test('an archive whose members share a name is refused', async () => {
  const bytes = await archive((members) => {
    members['config.jso2'] = members['config.json'] as Uint8Array;
  });
  const name = new TextEncoder().encode('config.jso2');
  for (let at = 0; at + name.length <= bytes.length; at++) {
    if (name.every((byte, i) => bytes[at + i] === byte)) bytes.set([0x6e], at + name.length - 1);
  }
  const { code, message } = await refused(bytes, 'twins.keras');
  assert.is(code, 'corrupt-file');
  assert.match(message, 'config.json');
});

test('a list of shards names plain files only', async () => {
  const list = (file: unknown) =>
    new TextEncoder().encode(JSON.stringify({ metadata: {}, weight_map: { '/a/vars': file } }));
  const asked: string[] = [];
  const openShard = (name: string) => {
    asked.push(name);
    return bytesSource(new Uint8Array(8));
  };
  for (const file of [
    '../x.h5',
    '/etc/passwd',
    'a\\b.h5',
    'C:x',
    '..',
    '.',
    '',
    7,
    null,
    { a: 1 },
    [['x']],
  ]) {
    const { code } = await refused(list(file), 'list.weights.json', { openShard });
    assert.is(code, 'corrupt-file', JSON.stringify(file));
  }
  assert.equal(asked, []);
  const { code } = await refused(new TextEncoder().encode('{"a": 1}'), 'other.json', { openShard });
  assert.is(code, 'not-hdf5');
});

test('thousands of flipped bits: a code, or weights that are all there', async () => {
  const bytes = await archive(() => undefined);
  let seed = 1;
  const random = (n: number) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * n);
  };
  let opened = 0;
  for (let round = 0; round < 1500; round++) {
    const damaged = bytes.slice();
    for (let flips = 1 + random(3); flips > 0; flips--) {
      const at = random(damaged.length);
      damaged[at] = (damaged[at] as number) ^ (1 << random(8));
    }
    const error = await openKeras(damaged, 'flipped.keras').then(
      (model) => {
        try {
          for (const { id } of model.weights) model.read(id);
          opened++;
          return undefined;
        } catch (thrown) {
          return thrown;
        } finally {
          model.close();
        }
      },
      (thrown) => thrown,
    );
    if (error !== undefined) assert.instance(error, BitnibbleError, String((error as Error).stack));
  }
  assert.ok(opened > 100, `${opened} opened`);
});

test('a damaged file leaves the library whole for the next one', async () => {
  const good = await h5((file) => dense(file.create_group('layers'), 'dense'));
  for (let from = 0; from < good.length; from += 61) {
    const { length } = good;
    const bad = good.slice();
    bad.fill(0xff, from, Math.min(from + 40, length));
    await openKeras(bad, 'bad.h5').then(
      (model) => model.close(),
      (error) => assert.instance(error, BitnibbleError),
    );
    const model = await openKeras(good, 'good.h5');
    for (const { id } of model.weights) assert.equal(model.read(id), data, id);
    model.close();
  }
});

test('a configuration nested out of all reason is refused', async () => {
  const deep = `${'['.repeat(2 ** 20)}${']'.repeat(2 ** 20)}`;
  const layer = '{"class_name": "Sequential", "config": {"layers": [';
  const models = layer.repeat(100) + ']}}'.repeat(100);
  for (const text of [`{"class_name": "Sequential", "config": ${deep}}`, models]) {
    const bytes = await archive((members) => {
      members['config.json'] = new TextEncoder().encode(text);
    });
    assert.is((await refused(bytes, 'deep.keras')).code, 'corrupt-file');
  }
});

type Call = (readonly [layer: string, call: number])[];

/** The layers of a functional model by their calls; in the notation of Keras 2 or 3. */
function graph(layers: Record<string, Call[]>, isModern = false) {
  const tensor = ([layer, call]: Call[number]) => [layer, call, 0];
  const entries = Object.entries(layers).map(([name, calls]) => ({
    class_name: calls.length === 0 ? 'InputLayer' : 'Add',
    name,
    config: { name },
    inbound_nodes: calls.map((inputs) =>
      isModern
        ? {
            args: [
              inputs.map((input) => ({
                class_name: '__keras_tensor__',
                config: { shape: [null, 2], dtype: 'float32', keras_history: tensor(input) },
              })),
            ],
            kwargs: {},
          }
        : inputs.map((input) => [...tensor(input), {}]),
    ),
  }));
  return { class_name: 'Functional', config: { name: 'm', layers: entries } };
}

/** What opening a file checks of its graph. */
function check(architecture: unknown, file: string, isModern = false): void {
  const kerasVersion = isModern ? '3.8.0' : '2.15.0';
  checkCalls({ file, architecture: architecture as JsonObject, kerasVersion, backend: '' });
}

test('a graph of layers that leads back to itself is refused, inside other models too', () => {
  const x: Call = [['x', 0]];
  const cases: [string, Record<string, Call[]>][] = [
    ['a', { a: [[['a', 0]]] }],
    [
      'a, b',
      {
        x: [],
        b: [[['a', 0]]],
        a: [
          [
            ['b', 0],
            ['x', 0],
          ],
        ],
      },
    ],
    [
      'b, c, d',
      {
        x: [],
        a: [x],
        b: [
          [
            ['a', 0],
            ['d', 0],
          ],
        ],
        c: [[['b', 0]]],
        d: [[['c', 0]]],
        e: [[['d', 0]]],
      },
    ],
    ['shared, b', { x: [], shared: [x, [['b', 0]]], b: [[['shared', 1]]] }],
    ['__proto__', JSON.parse('{"x": [], "__proto__": [[["__proto__", 0]]]}')],
  ];
  for (const [circle, layers] of cases) {
    for (const isModern of [false, true]) {
      const inner = graph(layers, isModern);
      const outer = { class_name: 'Sequential', config: { name: 's', layers: [inner] } };
      for (const architecture of [inner, outer]) {
        assert.throws(
          () => check(architecture, 'cycle.h5', isModern),
          (error: BitnibbleError) => {
            const named = /^cycle\.h5: layers of m are called on their own outputs: (.*)$/.exec(
              error.message,
            );
            const sorted = (list = '') => list.split(', ').sort().join();
            return error.code === 'corrupt-file' && sorted(named?.[1]) === sorted(circle);
          },
          circle,
        );
      }
    }
  }
  const many = Object.fromEntries(
    Array.from({ length: 1000 }, (_, i) => [`n${i}`, [[[`n${(i + 1) % 1000}`, 0]]] as Call[]]),
  );
  assert.throws(() => check(graph(many), 'cycle.h5'), /outputs: (n\d+, ){5}n\d+$/);
});

test('shared layers called on what they made, and layers listed backwards, are no circles', () => {
  for (const isModern of [false, true]) {
    const shared = {
      x: [],
      shared: [[['x', 0]], [['b', 0]], [['b', 1]]],
      b: [[['shared', 0]], [['shared', 1]]],
    } as Record<string, Call[]>;
    check(graph(shared, isModern), 'shared.h5', isModern);
    const backwards = Object.fromEntries(
      Array.from({ length: 3000 }, (_, i) => [`n${i}`, [[[i === 2999 ? 'x' : `n${i + 1}`, 0]]] as Call[]]),
    );
    check(graph({ ...backwards, x: [] }, isModern), 'backwards.h5', isModern);
  }
  // Calls of a model inside count from 1 in Keras 2, from 0 in Keras 3.
  for (const [from, config] of [
    [0, { name: 'inner', layers: [] }],
    [1, { name: 'inner', layers: [] }],
    [1, []],
  ] as const) {
    const inner = { class_name: 'Sequential', config };
    const calls = [[[['x', 0, 0, {}]]], [[['b', 0, 0, {}]]]].flat();
    const b = { class_name: 'ReLU', name: 'b', config: {}, inbound_nodes: [[['inner', from, 0, {}]]] };
    const last = { class_name: 'ReLU', name: 'c', config: {}, inbound_nodes: [[['inner', from + 1, 0, {}]]] };
    const layers = [{ ...inner, name: 'inner', inbound_nodes: calls }, b, last];
    const model = { class_name: 'Functional', config: { name: 'm', layers } };
    check(model, 'inner.h5');
  }
});

test.run();
