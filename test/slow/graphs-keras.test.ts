// Random small graphs made by Keras: TensorFlow.js and the runtime compute what Keras does, or refuse by name.
//   BITNIBBLE_GRAPHS=SEED[:COUNT[:FIRST]]     other graphs than those of CI; graph N of a seed is the same in every run
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Tensor } from '@tensorflow/tfjs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { findPython } from '../../scripts/lib/project.js';
import { BitnibbleError } from '../../src/errors.js';
import type { NdArray } from '../../src/formats/ndarray.js';
import { openNpz } from '../../src/formats/npz.js';
import type { ModelSource } from '../../src/model.js';
import { openNetwork, printNetwork } from '../../src/network/index.js';
import { openKeras } from '../../src/node/models.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { loadNetwork } from '../../src/runtime/index.js';
import { loadLayersModel } from '../../src/tfjs/load.js';
import { need, root, run, tempDir } from '../support/needs.js';

const [seed = 12, count = 240, first = 0] = (process.env.BITNIBBLE_GRAPHS ?? '')
  .split(':')
  .filter(Boolean)
  .map(Number);
const keras = need(test, 'keras');
const folder = tempDir();
const { tf } = await loadTensorFlow({ prefer: 'wasm' });

const numbers = ({ data }: NdArray) => Array.from(data as ArrayLike<number>, Number);
const largest = (values: readonly number[]) => values.reduce((most, v) => Math.max(most, Math.abs(v)), 0);

function arrays(file: string, letter: 'x' | 'y'): NdArray[] {
  const stored = openNpz(readFileSync(file));
  const size = stored.names.filter((name) => name.startsWith(letter)).length;
  return Array.from({ length: size }, (_, i) => stored.read(`${letter}${i}`));
}

/** Largest `|output - expected| / max(|expected|, share of the largest)` of each output; NaN counts as endless. */
function errorsOf(
  outputs: readonly ArrayLike<number>[],
  expected: readonly NdArray[],
  share: number,
): number[] {
  assert.is(outputs.length, expected.length);
  return expected.map((array, i) => {
    const want = numbers(array);
    const floor = Math.max(largest(want) * share, 1e-6);
    assert.is(outputs[i]?.length, want.length);
    return want.reduce((most, v, k) => {
      const error = Math.abs((outputs[i]?.[k] as number) - v) / Math.max(Math.abs(v), floor);
      return Number.isNaN(error) ? Number.POSITIVE_INFINITY : Math.max(most, error);
    }, 0);
  });
}

async function onTensorFlow(model: ModelSource, xs: readonly NdArray[], ys: readonly NdArray[]) {
  const network = await loadLayersModel(tf, model);
  const inputs = xs.map((x) => {
    const isFloat = x.data instanceof Float32Array;
    return tf.tensor(
      isFloat ? (x.data as Float32Array) : numbers(x),
      [...x.shape],
      isFloat ? 'float32' : 'int32',
    );
  });
  const outputs = [network.predict(inputs.length === 1 ? (inputs[0] as Tensor) : inputs)].flat();
  const shapes = outputs.map(({ shape }) => shape.join());
  const errors = errorsOf(
    outputs.map((output) => output.dataSync()),
    ys,
    0.01,
  );
  tf.dispose([...inputs, ...outputs]);
  network.dispose();
  assert.equal(
    shapes,
    ys.map(({ shape }) => shape.join()),
  );
  return errors;
}

async function inRuntime(model: ModelSource, xs: readonly NdArray[], ys: readonly NdArray[]) {
  const ports = openNetwork(model).network.inputs;
  const network = await loadNetwork(model);
  const given = ports.map(({ name }, i) => [name, Float32Array.from(numbers(xs[i] as NdArray))] as const);
  const result = network.run(Object.fromEntries(given));
  const errors = errorsOf(result instanceof Float32Array ? [result] : Object.values(result), ys, 1);
  network.dispose();
  return errors;
}

/** Refusals that say which rule of Keras is not followed, rather than that an ordinary layer is missing. */
const EXPECTED = /: (a mask merged from several others|a mask of its input)/;

keras(`Keras makes ${count} graphs of seed ${seed}`, async () => {
  const script = path.join(root, 'test/slow/graphs_keras.py');
  const args = [script, folder, ...[seed, count, first].map(String)];
  const { status, stderr } = await run(findPython(), args, { timeout: 900_000 });
  assert.is(status, 0, stderr);
});

keras('each is computed as in Keras by TensorFlow.js and, where it can run it, by the runtime', async () => {
  const faults: string[] = [];
  const refusals: string[] = [];
  let compared = 0;
  let ran = 0;
  for (let number = first; number < first + count; number++) {
    const file = path.join(folder, String(number));
    const [xs, ys] = [arrays(`${file}.npz`, 'x'), arrays(`${file}.npz`, 'y')];
    for (const ending of ['keras', 'h5']) {
      const model = await openKeras(`${file}.${ending}`);
      const report = (what: string) => {
        const again = `BITNIBBLE_GRAPHS=${seed}:1:${number}`;
        faults.push(
          `graph ${number}.${ending} (${again}): ${what}\n${printNetwork(openNetwork(model).network)}`,
        );
      };
      try {
        const errors = await onTensorFlow(model, xs, ys);
        compared += errors.length;
        if (errors.some((error) => error > 1e-4)) report(`TensorFlow.js differs from Keras by ${errors}`);
        const inIntegers = ending === 'keras' ? await inRuntime(model, xs, ys) : [];
        ran += inIntegers.length;
        if (inIntegers.some((error) => error > 1e-3))
          report(`the runtime differs from Keras by ${inIntegers}`);
      } catch (error) {
        const isRefusal = error instanceof BitnibbleError && error.code === 'unsupported-layer';
        if (!isRefusal) report(String((error as Error).stack));
        else if (!error.message.includes('the runtime cannot run')) {
          refusals.push(error.message);
          if (!EXPECTED.test(error.message)) report(error.message);
        }
      }
      model.close();
    }
  }
  process.stdout.write(
    `\nRAN: seed ${seed}, ${count} graphs: ${compared} outputs of TensorFlow.js on ${tf.getBackend()} and ${ran} of the runtime equal those of Keras; ${refusals.length} files refused\n`,
  );
  assert.is(faults.length, 0, `${faults.length} faults\n${faults.slice(0, 8).join('\n\n')}`);
  assert.ok(refusals.length <= Math.max(4, 0.1 * count), `${refusals.length} files are refused`);
  assert.ok(compared > 2 * count && ran > count / 4, `${compared} and ${ran} outputs were compared`);
});

test.run();
