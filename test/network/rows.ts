// Rows of the table of operations, applied to inputs that are written as texts.
import type { Json, JsonObject } from '../../src/model.js';
import { type Layer, layerOf } from '../../src/network/layer.js';
import type { Application, Operation, WeightRole } from '../../src/network/operations/operation.js';
import { outputType, valueType } from '../../src/network/operations/tensor-operation.js';
import type { Shape } from '../../src/network/types.js';

/** `?,4,2`; a number type may stand before it. */
export function tensorOf(text: string) {
  const [shape = '', type = 'float32'] = text.split(' ').reverse();
  const dims = shape === '' ? [] : shape.split(',').map((n) => (n === '?' ? null : Number(n)));
  return { shape: dims as Shape, type: valueType(type) };
}
export const textOf = (shape: Shape): string => shape.map((n) => n ?? '?').join(',');
const weightText = ({ role, shape }: WeightRole) => (shape ? `${role} ${textOf(shape)}`.trim() : role);

const ATTENTION = ['query', 'value', 'key'];
const rolesOf = (row: string, count: number) =>
  Array.from({ length: count }, (_, i) => (/Attention$/.test(row) ? (ATTENTION[i] as string) : 'x'));

/** The layer of a row, as it is read from a file of Keras 3. */
export function layerFor(row: string, given: JsonObject): Layer {
  if (row.startsWith('ops.')) return layerOf({ class_name: row, config: {} }, true, given) as Layer;
  const { cell, merge_mode, return_attention_scores: scores, ...config } = given;
  const call: JsonObject = scores === undefined ? {} : { return_attention_scores: scores };
  if (cell === undefined) return layerOf({ class_name: row, config }, true, call) as Layer;
  const layer = { class_name: String(cell), config };
  return layerOf({ class_name: row, config: { layer, merge_mode: merge_mode as Json } }, true) as Layer;
}

/** Outputs, weights and refusal of a row with options on inputs. */
export function applied(row: string, given: JsonObject, inputs: readonly string[]) {
  const { operation, attributes, problems } = layerFor(row, given);
  const tensors = inputs.map(tensorOf);
  const shapes = tensors.map(({ shape }) => shape);
  const roles = rolesOf(row, inputs.length);
  const application: Application = { attributes, shapes, roles, isKeras3: true };
  const own = operation as Operation;
  const fault = problems[0] ?? own.fault?.(application);
  const type = outputType(
    own,
    attributes,
    tensors.map((one) => one.type),
  );
  return {
    ...{ fault, own, application, type },
    shapes: fault === undefined ? own.shape(application)?.map(textOf) : undefined,
    weights:
      typeof own.weights === 'function' && fault === undefined
        ? own.weights(application).map(weightText)
        : [],
  };
}
