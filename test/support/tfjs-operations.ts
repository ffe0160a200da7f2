// Computes the operations of test/slow/tfjs_operations.py on one backend of TensorFlow.js and prints, as JSON, how many
// were compared and which differ from Keras's: tsx tfjs-operations.ts FOLDER node|wasm|cpu
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Tensor } from '@tensorflow/tfjs';
import { openNpz } from '../../src/formats/npz.js';
import type { Json, JsonObject } from '../../src/model.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import type { Shape } from '../../src/tfjs/layers/define.js';
import {
  attributesOf,
  indexOf,
  operationName,
  refusedOperation,
  TENSOR_OPERATIONS,
} from '../../src/tfjs/layers/operations.js';

interface Case {
  readonly label: string;
  readonly className: string;
  readonly config: JsonObject;
  readonly args: Json[];
  readonly kwargs: JsonObject;
  readonly bools: boolean[];
  readonly outputs: number;
}

const [folder = '', backend = ''] = process.argv.slice(2);
const { tf } = await loadTensorFlow({ prefer: backend === 'node' ? 'node' : 'wasm' });
if (backend === 'cpu') await tf.setBackend('cpu');
const cases = JSON.parse(readFileSync(path.join(folder, 'cases.json'), 'utf8')) as Case[];
const stored = openNpz(readFileSync(path.join(folder, 'cases.npz')));
const faults: string[] = [];

const isObject = (value: Json): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A constant among the arguments, or the number of an input. */
function operandOf(value: Json): { input: number } | { constant: Json } {
  if (isObject(value) && typeof value.tensor === 'number') return { input: value.tensor };
  if (isObject(value) && isObject(value.config ?? null))
    return { constant: (value.config as JsonObject).value ?? null };
  return { constant: value };
}

const shapeOf = (value: Json): number[] =>
  Array.isArray(value) ? [value.length, ...shapeOf(value[0] ?? 0)] : [];

const same = (a: Shape, b: readonly number[]) =>
  a.length === b.length && a.every((n, i) => n === null || n === b[i]);

function compare(n: number, given: Case): void {
  const name = operationName(given.className);
  const inputs = given.bools.map((isBool, i) => {
    const { data, shape } = stored.read(`${n}x${i}`);
    if (data instanceof Float32Array) return tf.tensor(data, [...shape]);
    const whole = tf.tensor(Int32Array.from(data as ArrayLike<number>, Number), [...shape], 'int32');
    return isBool ? tf.notEqual(whole, 0) : whole;
  });
  let args = given.args;
  const attributes: Record<string, Json> = { ...attributesOf(name, { ...given.config, ...given.kwargs }) };
  if (name === 'getItem') {
    attributes.index = indexOf(args[1] as Json) ?? null;
    args = args.slice(0, 1);
  }
  const isList = TENSOR_OPERATIONS[name]?.operands === 'list';
  const operands = (isList && Array.isArray(args[0]) ? args[0] : args).map(operandOf);
  const reason = refusedOperation(name, attributes, operands.length);
  if (reason) throw new Error(`refused: ${reason}`);
  const areWhole = inputs.every(({ dtype }) => dtype === 'int32');
  const values = operands.map((operand) => {
    if ('input' in operand) return inputs[operand.input] as Tensor;
    const { constant } = operand;
    const isWhole = [constant].flat(9).every((v) => Number.isInteger(v));
    return tf.tensor(constant as number[], shapeOf(constant), areWhole && isWhole ? 'int32' : 'float32');
  });
  const operation = TENSOR_OPERATIONS[name];
  if (!operation) throw new Error('no such operation');
  const all = { ...operation.attributes, ...attributes };
  const announced = operation.shape(
    operands.map((operand, i) =>
      'input' in operand ? [null, ...(values[i] as Tensor).shape.slice(1)] : (values[i] as Tensor).shape,
    ),
    all,
  );
  const result = operation.compute(tf, values, all);
  const outputs = Array.isArray(result) ? result : [result];
  const shapes = (Array.isArray(announced[0]) ? announced : [announced]) as Shape[];
  if (outputs.length !== given.outputs || shapes.length !== given.outputs)
    throw new Error(`${outputs.length} outputs, ${shapes.length} announced, Keras has ${given.outputs}`);
  for (const [i, output] of outputs.entries()) {
    const want = stored.read(`${n}y${i}`);
    if (output.shape.join() !== want.shape.join())
      throw new Error(`[${output.shape}], Keras [${want.shape}]`);
    if (!same(shapes[i] ?? [], output.shape))
      throw new Error(`announced as [${shapes[i]}], came as [${output.shape}]`);
    const got = output.dataSync();
    const target = Float64Array.from(want.data as ArrayLike<number>, Number);
    const floor = 0.01 * target.reduce((max, v) => Math.max(max, Number.isFinite(v) ? Math.abs(v) : 0), 0);
    target.forEach((v, k) => {
      const value = got[k] as number;
      if (Object.is(value, v) || value === v) return;
      const error = Math.abs(value - v) / Math.max(Math.abs(v), floor, 1e-30);
      if (!(error <= 1e-4)) throw new Error(`${value} at ${k}, Keras ${v}`);
    });
  }
}

for (const [n, given] of cases.entries()) {
  try {
    tf.tidy(() => compare(n, given));
  } catch (error) {
    faults.push(`${given.label} (${given.className}): ${(error as Error).message}`);
  }
}

process.stdout.write(JSON.stringify({ backend: tf.getBackend(), compared: cases.length, faults }));
