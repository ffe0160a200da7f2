// Runs the models of test/slow/tfjs_sweep.py on one backend of TensorFlow.js and prints, as JSON, how many outputs were
// compared and which differ from Keras's: tsx tfjs-sweep.ts FOLDER node|wasm|cpu
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { LayersModel, Tensor } from '@tensorflow/tfjs';
import type { NdArray } from '../../src/formats/ndarray.js';
import { openNpz } from '../../src/formats/npz.js';
import { openKeras } from '../../src/node/models.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { loadLayersModel } from '../../src/tfjs/load.js';

const [folder = '', backend = ''] = process.argv.slice(2);
const { tf } = await loadTensorFlow({ prefer: backend === 'node' ? 'node' : 'wasm' });
if (backend === 'cpu') await tf.setBackend('cpu');

const faults: string[] = [];
let compared = 0;

function tensorOf({ data, shape }: NdArray): Tensor {
  return data instanceof Float32Array
    ? tf.tensor(data, [...shape])
    : tf.tensor(Int32Array.from(data as ArrayLike<number>, Number), [...shape], 'int32');
}

/** Outputs of a model; of one that throws, those that can be computed, and the errors of the others. */
function outputsOf(model: LayersModel, inputs: Tensor[]): (Tensor | string)[] {
  const predict = (net: LayersModel) =>
    [net.predict(inputs.length === 1 ? (inputs[0] as Tensor) : inputs)].flat();
  try {
    return predict(model);
  } catch {
    return model.outputs.map((outputs) => {
      try {
        return predict(tf.model({ inputs: model.inputs, outputs }))[0] as Tensor;
      } catch (error) {
        return (error as Error).message;
      }
    });
  }
}

/** Largest `|output - expected| / max(|expected|, a hundredth of the largest)`. */
function errorOf(got: ArrayLike<number>, expected: ArrayLike<number | bigint>): number {
  const target = Float64Array.from(expected as ArrayLike<number>, Number);
  const floor = 0.01 * target.reduce((max, v) => Math.max(max, Math.abs(v)), 0);
  return target.reduce((largest, v, k) => {
    const value = got[k] as number;
    if (Number.isNaN(v) && Number.isNaN(value)) return largest;
    const error = Math.abs(value - v) / Math.max(Math.abs(v), floor, 1e-30);
    return Number.isNaN(error) ? Number.POSITIVE_INFINITY : Math.max(largest, error);
  }, 0);
}

for (const file of readdirSync(folder).filter((name) => name.endsWith('.json'))) {
  const name = path.join(folder, file.slice(0, -5));
  const labels = JSON.parse(readFileSync(`${name}.json`, 'utf8')) as string[];
  const stored = openNpz(readFileSync(`${name}.npz`));
  const count = stored.names.filter((key) => key.startsWith('x')).length;
  const inputs = Array.from({ length: count }, (_, i) => tensorOf(stored.read(`x${i}`)));
  const source = await openKeras(`${name}.keras`);
  const model = await loadLayersModel(tf, source);
  source.close();
  for (const [i, output] of outputsOf(model, inputs).entries()) {
    const want = stored.read(`y${i}`);
    const what = `${labels[i]} (${model.outputs[i]?.sourceLayer.getClassName()})`;
    compared++;
    if (typeof output === 'string') {
      faults.push(`${what}: ${output}`);
      continue;
    }
    const symbolic = model.outputs[i]?.shape ?? [];
    if (output.shape.join() !== want.shape.join())
      faults.push(`${what}: [${output.shape}], Keras [${want.shape}]`);
    else if (symbolic.some((n, axis) => n !== null && n !== output.shape[axis]))
      faults.push(`${what}: announced as [${symbolic}], came as [${output.shape}]`);
    else {
      const error = errorOf(output.dataSync(), want.data);
      // The WebAssembly backend computes places between pixels in float32.
      const limit = what.startsWith('Resizing') ? 2e-4 : 1e-4;
      if (!(error <= limit)) faults.push(`${what}: ${error}`);
    }
    output.dispose();
  }
  model.dispose();
  tf.dispose(inputs);
}

process.stdout.write(JSON.stringify({ backend: tf.getBackend(), compared, faults }));
