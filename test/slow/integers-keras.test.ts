// Whole numbers of every width in real Keras: TensorFlow.js and the runtime give its numbers, or refuse by name.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Tensor } from '@tensorflow/tfjs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { findPython } from '../../scripts/lib/project.js';
import { BitnibbleError } from '../../src/errors.js';
import type { JsonObject, ModelSource } from '../../src/model.js';
import { openNetwork } from '../../src/network/index.js';
import { openKeras } from '../../src/node/models.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { loadNetwork } from '../../src/runtime/index.js';
import { loadLayersModel } from '../../src/tfjs/load.js';
import { need, root, run, tempDir } from '../support/needs.js';

interface Case {
  readonly label: string;
  readonly types: readonly string[];
  readonly shape: readonly number[];
  readonly xs: readonly (readonly number[])[];
  readonly dtype: string;
  readonly y: readonly number[];
  readonly file?: string;
  readonly architecture?: JsonObject;
}

const keras = need(test, 'keras');
const folder = tempDir();
const { tf } = await loadTensorFlow({ prefer: 'wasm' });

const sourceOf = ({ file, architecture }: Case): Promise<ModelSource> | ModelSource =>
  file
    ? openKeras(path.join(folder, file))
    : {
        ...{ file: 'model.keras', architecture, kerasVersion: '3.15.1', backend: 'tensorflow', weights: [] },
        read: () => new Float32Array(0),
      };

/** Why a run ended: a refusal by name, or whole numbers that are too large. Anything else is thrown. */
function reasonOf(error: unknown): string {
  const { message } = error as Error;
  const isRefusal = error instanceof BitnibbleError && error.code === 'unsupported-layer';
  const isLarge =
    error instanceof RangeError && /expected whole numbers below \d+ in magnitude/.test(message);
  if (!isRefusal && !isLarge) throw error;
  return message;
}

async function inRuntime(model: ModelSource, { xs }: Case): Promise<ArrayLike<number>> {
  const network = await loadNetwork(model);
  try {
    const given = network.inputs.map(({ name }, i) => [name, Float32Array.from(xs[i] as number[])] as const);
    return network.run(Object.fromEntries(given)) as Float32Array;
  } finally {
    network.dispose();
  }
}

async function onTensorFlow(model: ModelSource, { xs, shape, types }: Case): Promise<ArrayLike<number>> {
  const network = await loadLayersModel(tf, model);
  const inputs = xs.map((x, i) =>
    tf.tensor(
      [...x],
      [3, ...shape],
      types[i] === 'float32' ? 'float32' : types[i] === 'bool' ? 'bool' : 'int32',
    ),
  );
  const names = openNetwork(model).network.inputs.map(({ name }) => name);
  const ordered = names.map((name) => inputs[Number(name.slice(2))] as Tensor);
  try {
    return (network.predict(ordered.length === 1 ? (ordered[0] as Tensor) : ordered) as Tensor).dataSync();
  } finally {
    tf.dispose(inputs);
    network.dispose();
  }
}

function differs(got: ArrayLike<number>, want: readonly number[]): string {
  if (got.length !== want.length) return `${got.length} values, Keras has ${want.length}`;
  const floor = want.reduce((most, v) => Math.max(most, Math.abs(v)), 1e-6) / 100;
  const at = want.findIndex(
    (v, i) => !(Math.abs((got[i] as number) - v) <= 2e-4 * Math.max(Math.abs(v), floor)),
  );
  return at < 0 ? '' : `value ${at} is ${got[at]}, Keras has ${want[at]}`;
}

/** Cases that have to be computed, whatever their width: nothing of them wraps. */
const COMPUTED =
  /^(sign|round|floor|sqrt|relu6?|tanh|max|min|mean|any|all|argmax|clip|x \+ 0.5|x \/ 2|x > 5|max 9|where|flip|x\[:, ::2\]|stack|concatenate|repeat|cast (bool|float32)|Rescaling|ReLU|ReLU 6|relu|linear|Dense|BatchNormalization.*|Flatten|Reshape|Masking|Dropout|Normalization|Embedding|divide|maximum|minimum|greater|Maximum|Concatenate|GlobalMaxPooling2D|GlobalAveragePooling2D|ZeroPadding2D|UpSampling2D|Resizing|RandomFlip)$/;

keras('Keras computes with whole numbers of every width', async () => {
  const script = path.join(root, 'test/slow/integers_keras.py');
  const { status, stderr } = await run(findPython(), [script, folder], { timeout: 600_000 });
  assert.is(status, 0, stderr);
});

keras('what wraps is refused by name, everything else has the numbers of Keras', async () => {
  const cases = JSON.parse(readFileSync(path.join(folder, 'cases.json'), 'utf8')) as Case[];
  const faults: string[] = [];
  const counts = { computed: 0, refused: 0 };
  for (const one of cases) {
    const model = await sourceOf(one);
    for (const [name, compute] of [
      ['runtime', inRuntime],
      ['TensorFlow.js', onTensorFlow],
    ] as const) {
      const what = `${one.label} of ${one.types.join(' and ')} in ${name}`;
      try {
        const fault = differs(await compute(model, one), one.y);
        counts.computed++;
        if (fault) faults.push(`${what}: ${fault}`);
      } catch (error) {
        const reason = reasonOf(error);
        counts.refused++;
        if (COMPUTED.test(one.label)) faults.push(`${what}: ${reason}`);
      }
    }
    if ('close' in model) (model as { close(): void }).close();
  }
  assert.equal(faults, []);
  assert.ok(counts.computed > 1000 && counts.refused > 300, JSON.stringify(counts));
});

test.run();
