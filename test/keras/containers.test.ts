// Containers of every form: what each file of test/fixtures/containers holds, and what saving keeps of it.
import { copyFileSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { unzipSync, zipSync } from 'fflate';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { BitnibbleError } from '../../src/errors.js';
import { readZipDirectory } from '../../src/formats/zip.js';
import { roleOf } from '../../src/keras/axes.js';
import { H5File } from '../../src/keras/h5.js';
import {
  bytesSource,
  type KerasModel,
  loadModelWeights,
  openKeras as openBytes,
  saveModelWeights as saveBytes,
} from '../../src/keras/index.js';
import { loadKernels } from '../../src/kernels/index.js';
import { openKeras, openModel, saveModelWeights, saveQuantized } from '../../src/node/models.js';
import { packedBytes } from '../../src/packed/index.js';
import { openPacked } from '../../src/packed/read.js';
import { outputKind } from '../../src/pipeline/outputs.js';
import { quantizeModel } from '../../src/pipeline/quantize.js';
import { root, tempDir } from '../support/needs.js';

const folder = path.join(root, 'test/fixtures/containers');
const fixture = (name: string) => path.join(folder, name);
const scratch = tempDir();
type Stored = [name: string, dtype: string, shape: number[], sum: number];
const expected = JSON.parse(readFileSync(fixture('expected.json'), 'utf8')) as Record<string, Stored[]>;

const DTYPES: Readonly<Record<string, string>> = {
  F16: 'float16',
  BF16: 'bfloat16',
  F32: 'float32',
  F64: 'float64',
  I8: 'int8',
  I64: 'int64',
};

async function opened<T>(name: string, use: (model: KerasModel) => T | Promise<T>): Promise<T> {
  const model = await openKeras(fixture(name));
  try {
    return await use(model);
  } finally {
    model.close();
  }
}

const ids = (model: KerasModel) => model.weights.map(({ id }) => id);
const axes = (model: KerasModel) =>
  model.weights.flatMap((weight) => {
    const role = roleOf(weight);
    return role.kind === 'kernel' ? [`${weight.id} ${role.axes}${role.guess ? '?' : ''}`] : [];
  });

for (const [name, stored] of Object.entries(expected)) {
  if (name === 'lzf.h5') continue;
  test(`${name}: every weight, its type, shape and values`, () =>
    opened(name, (model) => {
      assert.is(model.weights.length, stored.length);
      const found = model.weights.map(({ id, dtype, shape }): [string, number] => {
        const values = model.read(id);
        return [`${DTYPES[dtype]} ${shape}`, values.reduce((sum, value) => sum + value, 0)];
      });
      for (const [, dtype, shape, sum] of stored) {
        const at = found.findIndex(
          ([kind, value]) =>
            kind === `${dtype} ${shape}` && Math.abs(value - sum) <= 1e-4 * (1 + Math.abs(sum)),
        );
        assert.ok(at >= 0, `${dtype} [${shape}] of sum ${sum}`);
        found.splice(at, 1);
      }
    }));
}

const SMALL = [
  ['conv/kernel', 'conv/bias', 'norm/gamma', 'norm/beta', 'norm/moving_mean', 'norm/moving_variance'],
  ['dense/kernel', 'dense/bias'],
].flat();

test('one model has the same weights by name in every container and type', async () => {
  const names = [
    'plain.h5',
    'chunked_names.h5',
    'gzip_shuffle.h5',
    'jax.h5',
    'torch.h5',
    'backslashes.keras',
  ];
  const typed = ['mixed_float16.keras', 'float16.h5', 'bfloat16.h5', 'bfloat16.keras', 'float64.keras'];
  for (const name of [...names, ...typed]) {
    await opened(name, (model) => {
      assert.equal(ids(model), SMALL, name);
      assert.equal(axes(model), ['conv/kernel 3', 'dense/kernel 1'], name);
      assert.is(model.name, 'small');
    });
  }
  await opened('torch.h5', (model) => assert.is(model.backend, 'torch'));
  await opened('jax.h5', (model) => assert.is(model.backend, 'jax'));
});

test('a filter that cannot be decoded is named, and no garbage is read', () =>
  opened('lzf.h5', (model) => {
    assert.throws(
      () => model.read('conv/kernel'),
      (error: BitnibbleError) =>
        error.code === 'unsupported-filter' && /lzf\.h5: .*conv.*\blzf\b/i.test(error.message),
    );
  }));

test('quantized by Keras: kernels are floats, which are quantized again', async () => {
  const kernels = await loadKernels();
  for (const mode of ['int8', 'int4']) {
    await opened(`${mode}.keras`, (model) => {
      const own = model.weights.filter(({ layer }) => layer === model.weights[0]?.layer);
      assert.equal(
        own.map(({ name, stored }) => [name, stored?.as]),
        [
          ['kernel', mode === 'int8' ? mode : 'int4/128'],
          ['bias', undefined],
        ],
      );
      const { report } = quantizeModel(model, { default: { scheme: 'int4' } }, { kernels });
      assert.equal(
        report.tensors.map(({ result }) => result),
        ['int4', 'kept', 'int4', 'kept'],
      );
    });
  }
});

test('layers without a configuration are told by their names, as a guess', () =>
  opened('subclassed.keras', (model) => {
    assert.is(model.architecture?.class_name, 'Net');
    const classes = new Map(
      model.weights.map(({ layer, className }) => [layer.replace(/_\d+$/, ''), className]),
    );
    assert.is(classes.get('block/multi_head_attention'), 'MultiHeadAttention');
    assert.is([...classes].find(([layer]) => layer.startsWith('bidirectional'))?.[1], 'Bidirectional/LSTM');
    assert.ok(model.weights.every(({ guessed, name }) => guessed || name === 'variable_0'));
    assert.ok(axes(model).every((axis) => axis.endsWith('?')));
    assert.ok(axes(model).some((axis) => /query\/kernel 1,2\?$/.test(axis)));
  }));

test('weights alone: no architecture, and what needs one says so', async () => {
  const kernels = await loadKernels();
  await opened('subclassed.weights.h5', async (model) => {
    assert.is(model.architecture, undefined);
    assert.throws(
      () => outputKind(model),
      (error: BitnibbleError) =>
        error.code === 'no-model-config' && /holds weights and no architecture/.test(error.message),
    );
    const { model: quantized } = quantizeModel(model, { default: { scheme: 'binary' } }, { kernels });
    const packed = openPacked(packedBytes(quantized), kernels);
    assert.is(packed.architecture, undefined);
    assert.equal(
      packed.weights.map(({ id }) => id),
      ids(model),
    );
    const out = path.join(scratch, 'out.weights.h5');
    await saveQuantized(quantized, model, out);
    const again = await openKeras(out);
    for (const { id } of again.weights) assert.equal(again.read(id), quantized.read(id), id);
    again.close();
  });
});

test('the layers within a layer of another maker keep their place', () =>
  opened('custom_layer.keras', (model) => {
    const block = model.weights.filter(({ layer }) => layer === 'block');
    assert.is(block.length, 17);
    assert.equal(
      new Set(block.map(({ className }) => className)),
      new Set(['Block', 'Block/MultiHeadAttention', 'Block/Dense']),
    );
    assert.ok(axes(model).includes('out/kernel 1'));
  }));

test('Keras 2 archives and its legacy files have the same names', async () => {
  for (const name of ['keras2_nested', 'keras2_parts']) {
    const legacy = await opened(`${name}.h5`, (model) => [...ids(model), ...axes(model)]);
    const archive = await opened(`${name}.keras`, (model) => [...ids(model), ...axes(model)]);
    assert.equal(archive, legacy);
  }
  const nested = await opened('keras2_nested.keras', ids);
  assert.ok(nested.includes('block/deepest/deep/kernel'), nested.join());
});

test('Keras 1 kernels have their channels where dim_ordering says', async () => {
  assert.equal(await opened('keras1_th.h5', axes), [
    'convolution2d_1/W 0',
    'deconvolution2d_1/W 0',
    'separableconvolution2d_1/depthwise_kernel 0,1',
    'separableconvolution2d_1/pointwise_kernel 0',
    'dense_1/W 1',
  ]);
  assert.equal(await opened('keras1_tf.h5', axes), ['convolution2d_1/W 3', 'deconvolution2d_1/W 3']);
});

test('CuDNN layers: gates side by side, the bias a vector', async () => {
  assert.equal(await opened('cudnn.h5', axes), [
    'cu_dnnlstm_1/kernel 1',
    'cu_dnnlstm_1/recurrent_kernel 1',
    'both/forward_cu_dnngru_1/kernel 1',
    'both/forward_cu_dnngru_1/recurrent_kernel 1',
    'both/backward_cu_dnngru_1/kernel 1',
    'both/backward_cu_dnngru_1/recurrent_kernel 1',
  ]);
});

const negate = (model: KerasModel) =>
  loadModelWeights(model).map((layer) => ({
    ...layer,
    weights: layer.weights.map(({ id, values }) => ({
      id,
      values: values.map((value) => (value === 0 ? 0 : -value)),
    })),
  }));

/** Everything of an archive but one member, as it lies in the file. */
function rest(bytes: Uint8Array): [string, number, number, Uint8Array][] {
  return readZipDirectory(bytes)
    .filter(({ name }) => name !== 'model.weights.h5')
    .map(({ name, method, crc, start, compressedSize }) => [
      name,
      method,
      crc,
      bytes.slice(start, start + compressedSize),
    ]);
}

test('saving an archive keeps every other member, the methods and the comment', async () => {
  for (const name of [
    'assets.keras',
    'deflated.keras',
    'float64.keras',
    'mixed_float16.keras',
    'bfloat16.keras',
  ]) {
    await opened(name, async (model) => {
      const before = new Uint8Array(readFileSync(fixture(name)));
      const saved = await saveBytes(model, negate(model));
      assert.equal(rest(saved), rest(before), name);
      const methods = (bytes: Uint8Array) =>
        readZipDirectory(bytes).map((entry) => [entry.name, entry.method]);
      assert.equal(methods(saved), methods(before), name);
      if (name === 'deflated.keras') {
        assert.is(new TextDecoder().decode(saved.subarray(-12)), 'packed again');
      }
      const again = await openBytes(saved, name);
      for (const { layer: _, weights } of negate(model).map((l) => ({ layer: l.name, weights: l.weights }))) {
        for (const { id, values } of weights) assert.equal(again.read(id), values, `${name}: ${id}`);
      }
      again.close();
      // On disk, by way of a copy of the member: the same bytes.
      const out = path.join(scratch, name);
      await saveModelWeights(model, negate(model), out);
      assert.equal(new Uint8Array(readFileSync(out)), saved, name);
    });
  }
  assert.equal(
    readdirSync(scratch).filter((name) => name.startsWith('.')),
    [],
    'no temporary file is left',
  );
});

test('optimizer state is kept and not counted', async () => {
  await opened('keras2_nested.keras', async (model) => {
    assert.ok(model.trainingConfig);
    assert.not.ok(ids(model).some((id) => id.includes('optimizer')));
    const saved = await saveBytes(model, negate(model));
    const read = async (bytes: Uint8Array) => {
      const entry = readZipDirectory(bytes).find(({ name }) => name === 'model.weights.h5');
      assert.ok(entry);
      const member = bytes.slice(entry.start, entry.start + entry.size);
      const file = await H5File.open('member', bytesSource(member));
      const state = file.keys('/optimizer/vars').map((key) => file.readBytes(`/optimizer/vars/${key}`));
      file.close();
      return state;
    };
    const before = await read(new Uint8Array(readFileSync(fixture('keras2_nested.keras'))));
    assert.ok(before.length > 10);
    assert.equal(await read(saved), before);
  });
});

/** `split.weights.json`, whose LSTM lies in two shards, with changes to the list and to the files behind its names. */
async function splitModel(
  change: (map: Record<string, string[]>) => void,
  files: Record<string, string> = {},
) {
  const list = JSON.parse(readFileSync(fixture('split.weights.json'), 'utf8'));
  change(list.weight_map);
  const openShard = (name: string) => bytesSource(new Uint8Array(readFileSync(fixture(files[name] ?? name))));
  return openBytes(new TextEncoder().encode(JSON.stringify(list)), 'split.weights.json', { openShard });
}

test('shards that cut through a layer: a part that is missing, doubled or not listed is named', async () => {
  const [first, second] = ['split_00000.weights.h5', 'split_00001.weights.h5'];
  const lstm = '/layers/lstm/cell/vars';
  const list = JSON.parse(readFileSync(fixture('split.weights.json'), 'utf8')).weight_map;
  assert.equal(list[lstm], [first, second]);
  const whole = await splitModel(() => undefined);
  assert.is(whole.weights.length, 11);
  whole.close();
  const refused = async (code: string, text: string | RegExp, ...args: Parameters<typeof splitModel>) => {
    const error = await splitModel(...args).then(
      () => undefined,
      (thrown: unknown) => thrown as BitnibbleError,
    );
    assert.is(error?.code, code, String(error));
    assert.match(error?.message ?? '', text);
  };
  const without = (file: string) => (map: Record<string, string[]>) => {
    for (const [group, files] of Object.entries(map)) {
      map[group] = files.filter((name) => name !== file);
      if (map[group].length === 0) delete map[group];
    }
  };
  await refused(
    'missing-weight',
    /its shards have \d+ bytes of variables, and the list states 9640/,
    without(second),
  );
  await refused('missing-weight', `no shard has variable 0 of ${lstm}`, without(first));
  await refused('corrupt-file', 'is stored twice', () => undefined, { [second]: first });
  await refused(
    'missing-weight',
    `${second} has no variables of /layers/dense/vars, where the list has some`,
    (map) => map['/layers/dense/vars']?.push(second),
  );
  await refused(
    'corrupt-file',
    `${first} has variables of /layers/dense/vars, which are not in the list`,
    (map) => {
      delete map['/layers/dense/vars'];
    },
  );
  await refused(
    'corrupt-file',
    `${second} has variables of ${lstm}, which the list has in ${first}`,
    (map) => {
      map[lstm] = [first];
    },
  );
});

test('shards: read as one model, written under the new name', async () => {
  const out = path.join(scratch, 'renamed.weights.json');
  await opened('shards.weights.json', async (model) => {
    assert.is(model.files.h5.length, 3);
    assert.equal(ids(model).length, 6);
    await saveModelWeights(model, negate(model), out);
    const again = await openKeras(out);
    assert.equal(ids(again), ids(model));
    for (const { weights } of negate(model)) {
      for (const { id, values } of weights) assert.equal(again.read(id), values, id);
    }
    again.close();
  });
  const shards = readdirSync(scratch).filter((name) => name.startsWith('renamed_'));
  assert.equal(
    shards,
    [0, 1, 2].map((n) => `renamed_0000${n}.weights.h5`),
  );
  const bytes = new Uint8Array(readFileSync(out));
  const refused = await openBytes(bytes, 'alone').then(String, (error: BitnibbleError) => error.code);
  assert.is(refused, 'not-found');
});

test('a value that its type cannot hold is refused, with the tensor', () =>
  opened('float16.h5', async (model) => {
    const values = model.read('dense/bias').fill(70000);
    const error = await saveBytes(model, new Map([['dense/bias', values]])).then(String, (thrown) => thrown);
    assert.is(error.code, 'not-finite');
    assert.match(error.message, 'tensor dense/bias: 70000 at index 0');
  }));

test('the ending of the output is that of the container', async () => {
  const kernels = await loadKernels();
  await opened('assets.keras', async (model) => {
    const { model: quantized } = quantizeModel(model, { default: { scheme: 'int4' } }, { kernels });
    const error = await saveQuantized(quantized, model, path.join(scratch, 'x.h5')).then(
      String,
      (thrown) => thrown,
    );
    assert.instance(error, RangeError);
    assert.match(error.message, 'expected a name ending in .safetensors or .keras');
  });
});

test('the content decides, not the name', async () => {
  const kernels = await loadKernels();
  const names = ['assets.keras', 'plain.h5', 'keras2_parts.weights.h5'];
  for (const name of names) {
    const misnamed = path.join(scratch, `${name.replace(/\W/g, '_')}.txt`);
    copyFileSync(fixture(name), misnamed);
    const { model, close } = await openModel(misnamed, kernels);
    assert.is(model.weights.length, expected[name]?.length, name);
    close();
  }
});

test('an archive whose HDF5 member begins where a superblock behind a user block would is an archive', async () => {
  const members = unzipSync(readFileSync(fixture('mixed_float16.keras')));
  const text = new TextDecoder().decode(members['metadata.json']);
  const archive = (spaces: number) => {
    const padded = new TextEncoder().encode(text + ' '.repeat(spaces));
    return Buffer.from(zipSync({ ...members, 'metadata.json': padded }, { level: 0 }));
  };
  const start = (bytes: Buffer) => bytes.indexOf('\x89HDF\r\n', 'latin1');
  const from = start(archive(0));
  const at = 2 ** Math.ceil(Math.log2(from));
  const bytes = archive(at - from);
  assert.is(start(bytes), at);
  const model = await openBytes(new Uint8Array(bytes));
  assert.is(model.files.container, 'keras');
  assert.is(model.weights.length, expected['mixed_float16.keras']?.length);
  model.close();
});

test('a weight read after its file was closed says so', async () => {
  const { model, close } = await openModel(fixture('plain.h5'), await loadKernels());
  const { id } = model.weights[0] as { id: string };
  model.read(id);
  close();
  assert.throws(() => model.read(id), /plain.h5: read after close\(\)/);
});

test.run();
