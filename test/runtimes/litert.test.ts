// LiteRT models in the engine that browsers have: LiteRT.js in Chromium.
import { copyFileSync, existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import { openNpz } from '../../src/formats/npz.js';
import { loadKernels } from '../../src/kernels/index.js';
import { liteRtModelFile } from '../../src/litert/index.js';
import type { ModelSource } from '../../src/model.js';
import { dropIdentities, openNetwork } from '../../src/network/index.js';
import { openKeras } from '../../src/node/models.js';
import { quantizeModel } from '../../src/pipeline/quantize.js';
import { LETTERS, RECIPES, recorded } from '../support/exported.js';
import { need, tempDir } from '../support/needs.js';
import { fileOf, folder, names } from '../tfjs/support.js';
import { holdInPage, type PageCase, type Written } from './support/exported.js';

const PAGE = `<!doctype html><meta charset="utf-8"><title>Test</title>
<script type="importmap">{ "imports": { "@litertjs/wasm-utils": "./wasm-utils.js" } }</script>
<script type="module">
import { loadAndCompile, loadLiteRt, Tensor } from './litert.js';
async function all() {
  await loadLiteRt(new URL('.', location.href).href);
  const answerOf = async ({ file, inputs, outputs }) => {
    const bytes = new Uint8Array(await (await fetch(file)).arrayBuffer());
    const model = await loadAndCompile(bytes, { accelerator: 'wasm' });
    const types = new Map(model.getInputDetails().map(({ name, dtype }) => [name, dtype]));
    const feeds = Object.fromEntries(
      inputs.map(({ name, data, shape }) => {
        const Arrays = { float32: Float32Array, int32: Int32Array, bool: Uint8Array }[types.get(name)];
        return [name, new Tensor(Arrays.from(data), shape)];
      }),
    );
    const results = await model.run(feeds);
    const values = outputs.map((name) => Array.from(results[name].toTypedArray(), Number));
    for (const one of [...Object.values(results), ...Object.values(feeds), model]) one.delete();
    return values;
  };
  const found = [];
  for (const own of await (await fetch('cases.json')).json()) found.push(await answerOf(own).catch(String));
  return found;
}
globalThis.outputs = all();
</script>`;

const kernels = await loadKernels();

/** LiteRT.js 2.5.3 has no tensors of truth values, such as masks that a model is given; LiteRT itself does. */
const NO_TRUTH = /Element type BOOL is not supported/;

/** A fixture in float and, where Keras's outputs were recorded, low-bit. */
async function writtenOf(
  name: string,
  batch: number,
): Promise<{ models: Written[]; outputs: string[]; inputs: string[]; takesTruth: boolean }> {
  const keras = await openKeras(fileOf(name));
  const own = path.join(folder, `${name}.npz`);
  const bytesOf = (model: ModelSource) => Buffer.concat([...liteRtModelFile(model, { batch }).pieces()]);
  const models = [{ label: `${name} float`, bytes: bytesOf(keras), letter: 'y', from: own }];
  for (const [scheme, letter] of Object.entries(LETTERS)) {
    const from = scheme === 'int4' ? own : path.join(recorded, `${name}.npz`);
    if (!existsSync(from)) continue;
    const { model } = quantizeModel(
      keras,
      { default: RECIPES[scheme] as (typeof RECIPES)[string] },
      { kernels },
    );
    models.push({ label: `${name} ${scheme}`, bytes: bytesOf(model), letter, from });
  }
  const { network } = openNetwork(keras);
  const ports = dropIdentities(network);
  keras.close();
  const namesOf = (list: typeof ports.inputs) => list.map((port) => port.name);
  const takesTruth = ports.inputs.some(({ value }) => ports.values[value]?.dtype === 'bool');
  return { models, inputs: namesOf(ports.inputs), outputs: namesOf(ports.outputs), takesTruth };
}

need(
  test,
  'litertjs',
  'chromium',
)('every fixture in float, int4, int2 and binary', async ({ litertjs, chromium }) => {
  const site = tempDir();
  copyFileSync(path.join(litertjs, 'core/dist/index.js'), path.join(site, 'litert.js'));
  copyFileSync(path.join(litertjs, 'wasm-utils/dist/index.js'), path.join(site, 'wasm-utils.js'));
  for (const file of readdirSync(path.join(litertjs, 'core/wasm')))
    copyFileSync(path.join(litertjs, 'core/wasm', file), path.join(site, file));
  const cases: PageCase[] = [];
  for (const name of names) {
    const npz = openNpz(readFileSync(path.join(folder, `${name}.npz`)));
    const batch = npz.read('x0').shape[0] as number;
    const { models, inputs, outputs, takesTruth } = await writtenOf(name, batch);
    const given = inputs.map((port, i) => {
      const { data, shape } = npz.read(`x${i}`);
      return { name: port, data: Array.from(data as ArrayLike<number>, Number), shape };
    });
    cases.push(
      ...models.map((written) => ({
        written,
        told: { inputs: given, outputs },
        ...(takesTruth ? { ends: NO_TRUTH } : {}),
      })),
    );
  }
  await holdInPage(chromium, site, PAGE, '.tflite', cases);
});

test.run();
