// LiteRT models with activations of 8 bits (`--weights fast`), held to the same codes as floats.
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Dataset } from '../../src/data/index.js';
import { loadKernels } from '../../src/kernels/index.js';
import { openDataset } from '../../src/node/datasets.js';
import { openKeras } from '../../src/node/models.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { calibrateModel } from '../../src/pipeline/calibrate/calibrate.js';
import { quantizeModel } from '../../src/pipeline/quantize.js';
import type { QuantizeOptions } from '../../src/schemes/types.js';
import { type Answer, type Case, RECIPES } from '../support/exported.js';
import { runLiteRt, samplesOf, writeLiteRt } from '../support/litert.js';
import { need, root, run, tempDir } from '../support/needs.js';
import { fileOf, folder as fixtures, names } from '../tfjs/support.js';

const kernels = await loadKernels();
const folder = tempDir();
const litert = need(test, 'litert');
const withData = need(test, 'litert', 'shared');

const EXAMPLES = { cifar10: 'examples/cifar10/cifar10.h5', mobilenet: 'examples/mobilenet/mobilenet.h5' };
const SCHEMES = ['int4', 'int2', 'binary'] as const;

/** Networks calibrated on samples, as `fast` and as floats, and how often both say the same class of some inputs. */
async function agreement(
  python: string,
  file: string,
  data: { readonly calibration: Dataset; readonly inputs: string },
): Promise<Answer[]> {
  const { tf } = await loadTensorFlow();
  const keras = await openKeras(path.join(root, file));
  const cases: Case[] = [];
  for (const scheme of SCHEMES) {
    const { model } = await calibrateModel(
      tf,
      keras,
      { default: { scheme } },
      { kernels, dataset: data.calibration, preprocess: { scale: 1 / 255 }, samples: 32 },
    );
    const name = `${path.parse(file).name} ${scheme}`;
    const to = path.join(folder, 'agreement', name.replace(' ', '-'));
    const like = writeLiteRt(model, `${to}-float.tflite`, { weights: 'float' });
    const own = writeLiteRt(model, `${to}-fast.tflite`, { weights: 'fast' });
    cases.push({ name, model: own, like, inputs: data.inputs, classes: true });
  }
  keras.close();
  return runLiteRt(python, cases, folder);
}

function sameClasses(answers: readonly Answer[], least: number): void {
  for (const { name, same, problem } of answers) {
    assert.is(problem, undefined, `${name}: ${problem}`);
    console.log(`${name}: the class of ${same}`);
    assert.ok(Number(same) >= least, `${name}: the class of ${same}`);
  }
}

const digits = path.join(root, 'examples/digits');

litert('the class of 99 in 100 digits', async ({ litert: python }) => {
  const calibration = await openDataset(path.join(digits, 'calibration-images-idx3-ubyte.gz'));
  const inputs = path.join(folder, 'digits.npz');
  const made = await run(python, ['-c', DIGITS, path.join(digits, 'test-images-idx3-ubyte.gz'), inputs]);
  assert.is(made.status, 0, made.output);
  sameClasses(await agreement(python, 'examples/digits/digits.h5', { calibration, inputs }), 0.99);
});

const DIGITS = `import gzip, sys, numpy as np
raw = np.frombuffer(gzip.open(sys.argv[1]).read(), "uint8", offset=16).reshape(-1, 28, 28, 1)
np.savez(sys.argv[2], x0=(raw / 255).astype("float32"))`;

/** Colour blobs on a ground, with grain: sizes and contrasts of small photographs. */
const BLOBS = `import sys, numpy as np
rng = np.random.default_rng(7)
at = np.mgrid[0:32, 0:32] / 32
def images(count):
    out = np.empty((count, 32, 32, 3))
    for own in out:
        own[:] = rng.uniform(0, 1, 3)
        for _ in range(6):
            (y, x), radius, angle, long = rng.uniform(0, 1, 2), rng.uniform(.05, .4), rng.uniform(0, np.pi), rng.uniform(1, 4)
            u = (at[0] - y) * np.cos(angle) + (at[1] - x) * np.sin(angle)
            v = (at[1] - x) * np.cos(angle) - (at[0] - y) * np.sin(angle)
            inside = 1 / (1 + np.exp(np.clip((np.hypot(u, v * long) - radius) * rng.uniform(10, 100), -50, 50)))
            own += inside[..., None] * (rng.uniform(0, 1, 3) - own)
        own += rng.normal(0, .03, own.shape)
    return (np.clip(out, 0, 1) * 255).round().astype("uint8")
np.savez(sys.argv[1], x=images(32))
np.savez(sys.argv[2], x0=(images(1000) / 255).astype("float32"))`;

litert('nearly always the same class of images that are made', async ({ litert: python }) => {
  const [samples, inputs] = ['blobs.npz', 'blob-inputs.npz'].map((own) => path.join(folder, own)) as [
    string,
    string,
  ];
  const made = await run(python, ['-c', BLOBS, samples, inputs]);
  assert.is(made.status, 0, made.output);
  const calibration = await openDataset(samples);
  // Networks are half as sure of such images as of photographs, so that more of them stand between two classes.
  for (const file of Object.values(EXAMPLES))
    sameClasses(await agreement(python, file, { calibration, inputs }), 0.985);
});

withData('the class of 99 in 100 photographs', async ({ litert: python, shared }) => {
  const inputs = path.join(folder, 'images.npz');
  const make = `import sys, numpy as np
raw = np.fromfile(sys.argv[1], dtype="uint8").reshape(-1, 3073)[:1000, 1:]
np.savez(sys.argv[2], x0=(raw.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1) / 255).astype("float32"))`;
  const test = path.join(shared, 'cifar-10-batches-bin/test_batch.bin');
  const made = await run(python, ['-c', make, test, inputs]);
  assert.is(made.status, 0, made.output);
  const calibration = await openDataset(shared, { split: 'train' });
  for (const file of Object.values(EXAMPLES))
    sameClasses(await agreement(python, file, { calibration, inputs }), 0.99);
});

litert('every fixture within some hundredths of its largest output', async ({ litert: python }) => {
  const cases: Case[] = [];
  for (const [at, name] of names.entries()) {
    const keras = await openKeras(fileOf(name));
    const inputs = path.join(fixtures, `${name}.npz`);
    for (const [i, recipe] of ['int4', 'int2', 'binary', 'binary tensor'].entries()) {
      const options = RECIPES[recipe] as QuantizeOptions;
      const { model } = quantizeModel(keras, { default: options }, { kernels });
      const batch = (at + i) % 2 === 0 ? samplesOf(name) : 1;
      const of = (weights: 'float' | 'fast') =>
        writeLiteRt(model, path.join(folder, 'fast', `${name}-${i}-${weights}.tflite`), { weights, batch });
      const plain = at % 2 === 0;
      const own = { name: `${name} ${recipe}${plain ? ', plain' : ''}`, inputs, plain };
      cases.push({ ...own, model: of('fast'), like: of('float') });
    }
    keras.close();
  }
  const answers = await runLiteRt(python, cases, folder);
  for (const { name, share, problem } of answers) {
    assert.is(problem, undefined, `${name}: ${problem}`);
    assert.ok(Number(share) < 0.06, `${name}: ${share} of the largest output`);
  }
  assert.ok(answers.filter(({ share }) => Number(share) > 1e-4).length > 200, 'activations of 8 bits');
});

test.run();
