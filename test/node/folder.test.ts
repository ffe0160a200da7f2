// Models that Keras 3 saved as folders: the members of an archive as files.
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { unzipSync } from 'fflate';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { BitnibbleError } from '../../src/errors.js';
import { saveModelWeights as savedBytes } from '../../src/keras/save.js';
import { loadKernels } from '../../src/kernels/index.js';
import { openKeras, openModel, saveModelWeights, saveQuantized } from '../../src/node/models.js';
import { quantizeModel } from '../../src/pipeline/quantize.js';
import { root, tempDir } from '../support/needs.js';

const folder = tempDir();
const archive = (name: string) => path.join(root, 'test/fixtures/containers', `${name}.keras`);

/** An archive's members as files, some of them changed or left out. */
function unpacked(name: string, changed: Readonly<Record<string, string | undefined>> = {}): string {
  const target = mkdtempSync(path.join(folder, `${name}-`));
  for (const [member, bytes] of Object.entries(unzipSync(readFileSync(archive(name))))) {
    if (member.includes('/') || (member in changed && changed[member] === undefined)) continue;
    writeFileSync(path.join(target, member), changed[member] ?? bytes);
  }
  return target;
}

async function failure(work: Promise<unknown>): Promise<BitnibbleError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof BitnibbleError) return error;
    throw error;
  }
  return assert.unreachable('nothing was thrown') as never;
}

for (const name of ['mixed_float16', 'int4', 'deflated', 'keras2_nested']) {
  test(`${name}: a folder is read as the archive is`, async () => {
    const target = unpacked(name);
    const [a, b] = [await openKeras(target), await openKeras(archive(name))];
    assert.is(a.files.container, 'folder');
    assert.equal(a.architecture, b.architecture);
    assert.equal(a.trainingConfig, b.trainingConfig);
    assert.is(a.kerasVersion, b.kerasVersion);
    assert.equal(a.weights, b.weights);
    for (const { id } of b.weights) assert.equal(a.read(id), b.read(id));
    const members = ['config.json', 'metadata.json', 'model.weights.h5'];
    const bytes = members.reduce((sum, member) => sum + readFileSync(path.join(target, member)).length, 0);
    assert.is(a.files.bytes, bytes);
    a.close();
    b.close();
  });
}

test('a folder is quantized to the packed form, and no other', async () => {
  const target = unpacked('float64');
  const kernels = await loadKernels();
  const model = await openKeras(target);
  const { model: quantized } = quantizeModel(model, { default: { scheme: 'int4' } }, { kernels });
  const output = path.join(folder, 'out.safetensors');
  await saveQuantized(quantized, model, output);
  const packed = await openModel(output, kernels);
  assert.is(packed.model.weights.length, model.weights.length);
  packed.close();
  for (const ending of ['.keras', '.h5'])
    await saveQuantized(quantized, model, path.join(folder, `out${ending}`)).then(
      () => assert.unreachable(),
      (error: Error) =>
        assert.match(error.message, /expected a name ending in \.safetensors \(.* is a folder\)/),
    );
  const weights = new Map([[model.weights[0]?.id as string, model.read(model.weights[0]?.id as string)]]);
  for (const save of [
    savedBytes(model, weights as never),
    saveModelWeights(model, weights as never, output),
  ]) {
    const error = await failure(save);
    assert.is(error.code, 'unsupported-version');
    assert.match(error.message, /a model in a folder is not written again/);
  }
  model.close();
});

test('what is missing or damaged is named', async () => {
  const kernels = await loadKernels();
  for (const [changed, code, message] of [
    [{ 'config.json': undefined }, 'no-model-config', /it is a folder without config\.json/],
    [{ 'model.weights.h5': undefined }, 'missing-weight', /the folder has no member model\.weights\.h5/],
    [{ 'model.weights.h5': 'text' }, 'not-hdf5', /model\.weights\.h5/],
    [{ 'metadata.json': '{' }, 'corrupt-file', /metadata\.json/],
    [{ 'config.json': '[]' }, 'corrupt-file', /config\.json is not a JSON object/],
  ] as const) {
    const target = unpacked('float64', changed);
    for (const open of [openKeras(target), openModel(target, kernels)]) {
      const error = await failure(open);
      assert.is(error.code, code, error.message);
      assert.match(error.message, message);
    }
    writeFileSync(path.join(target, 'model.weights.npz'), 'PK');
    if (!('model.weights.h5' in changed) || changed['model.weights.h5'] !== undefined) continue;
    assert.is((await failure(openKeras(target))).code, 'unsupported-version');
  }
});

test.run();
