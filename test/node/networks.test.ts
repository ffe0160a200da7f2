// Networks from paths: packed files and Keras's own, closed again behind the loading.
import { mkdirSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadKernels } from '../../src/kernels/index.js';
import { loadNetwork } from '../../src/node/runtime.js';
import { packedBytes } from '../../src/packed/index.js';
import { generator } from '../runtime/support.js';
import { tempDir } from '../support/needs.js';
import { fileOf, quantized } from '../tfjs/support.js';

const folder = tempDir();
const at = (name: string) => path.join(folder, name);
const kernels = await loadKernels();
const { float, packed } = await quantized('cifar10', kernels);
const bytes = packedBytes(packed);
writeFileSync(at('m.safetensors'), bytes);
const x = generator(1).floats(32 * 32 * 3);

/** Files of this folder that the process holds open; Linux only. */
const openFiles = () =>
  readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return /\.(h5|safetensors)$/.test(readlinkSync(`/proc/self/fd/${fd}`));
    } catch {
      return false;
    }
  }).length;

test('a path, a URL and bytes of a packed file give the same', async () => {
  const expected = [...(await loadNetwork(bytes)).run(x)];
  for (const source of [at('m.safetensors'), pathToFileURL(at('m.safetensors'))]) {
    const network = await loadNetwork(source, { weights: 'packed' });
    assert.equal([...network.run(x)], expected);
  }
});

test('a Keras file runs in float32', async () => {
  const network = await loadNetwork(fileOf('cifar10'));
  assert.equal([...network.run(x)], [...(await loadNetwork(float)).run(x)]);
  assert.ok(network.summary().layers.every((layer) => !layer.kernels.includes('winograd')));
});

test('files are closed, whatever comes of them', async () => {
  const before = openFiles();
  await loadNetwork(at('m.safetensors'));
  await loadNetwork(fileOf('cifar10'));
  mkdirSync(at('folder'));
  writeFileSync(at('text.h5'), 'nothing that is a model');
  for (const [source, pattern] of [
    [at('nowhere.h5'), /nowhere\.h5: cannot be read/],
    [at('folder'), /it is a folder without config\.json/],
    [at('text.h5'), /expected a Keras \.h5 or \.keras file or a packed \.safetensors file/],
    [fileOf('conv3d'), /Conv3D|expected/],
  ] as const) {
    try {
      await loadNetwork(source, { weights: source.endsWith('conv3d.h5') ? ('?' as never) : 'decoded' });
      assert.unreachable(source);
    } catch (error) {
      assert.match((error as Error).message, pattern);
    }
  }
  assert.is(openFiles(), before);
});

test.run();
