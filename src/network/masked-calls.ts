// Masks of calls: those that a call is given, and those that Keras's rules make of its inputs'.
import type { JsonObject } from '../model.js';
import type { Draft } from './draft.js';
import { type Layer, layerOf } from './layer.js';
import { isProjected, type Mask, maskRule } from './masks.js';
import { type Call, isMaskRole, OPERATION, TENSOR } from './notation.js';
import type { Value } from './types.js';

/** An input of a call and the mask that the call gives it. */
interface MaskedInput {
  readonly value: number;
  readonly role: string;
  /** Its place among all that the call is given. */
  readonly index: number;
  readonly mask: Mask;
}

/** The inputs of a call that are no masks, each with the mask that the call gives it. */
export function withMasks(
  draft: Draft,
  call: Call,
  inputs: readonly number[],
  layer: string,
  className: string,
  steps: number,
): MaskedInput[] {
  const ofWhom = (role: string) => (role === 'mask' ? 0 : call.roles.indexOf(role.replace(/_mask$/, '')));
  for (const role of call.roles.filter(isMaskRole))
    if (ofWhom(role) < 0) draft.problem(layer, className, `the argument ${role}`);
  if (/^(MultiHead|Group(ed)?Query)Attention$/.test(className) && call.roles.includes('query_mask'))
    draft.problem(
      layer,
      className,
      'the argument query_mask, which some versions of Keras 3 take and others ignore',
    );
  return inputs.flatMap((value, index): MaskedInput[] => {
    const role = call.roles[index] as string;
    if (isMaskRole(role)) return [];
    const at = call.roles.findIndex((own) => isMaskRole(own) && ofWhom(own) === index);
    if (at < 0) return [{ value, role, index, mask: undefined }];
    const given = inputs[at] as number;
    const [mask, x] = [draft.values[given], draft.values[value]] as [Value, Value];
    const what = `the argument ${call.roles[at]}`;
    if (mask.dtype !== 'bool') draft.problem(layer, className, `${what} of type ${mask.dtype}`);
    const isStep = (n: number | null, i: number) => n === null || (x.shape?.[i] ?? n) === n;
    if (mask.shape && !(mask.shape.length === steps + 2 && mask.shape.every(isStep)))
      draft.problem(layer, className, `${what} of shape [${mask.shape.map((n) => n ?? '?')}]`);
    return [{ value, role, index, mask: { value: () => given } }];
  });
}

/** Masks that a call uses, as values, and the mask of its outputs. */
export function maskInputs(
  draft: Draft,
  found: Layer,
  inputs: readonly number[],
  roles: readonly string[],
  masks: readonly Mask[],
  isGiven: boolean,
  layer: string,
  steps: number,
) {
  const first = draft.values[inputs[0] as number];
  const { name: operation, attributes } = found;
  const rule = maskRule({
    ...{ operation, attributes, roles, masks, isGiven, steps, isKeras3: draft.isKeras3 },
    rank: first?.shape?.length,
  });
  if (rule.problem !== undefined) draft.problem(layer, found.className, rule.problem);
  const used: { value: number; role: string }[] = [];
  for (const [mask, role] of rule.used) {
    if (mask === 'unclear') draft.problem(layer, found.className, 'a mask merged from several others');
    else if (mask) used.push({ value: mask.value(), role });
  }
  if (rule.clears && draft.isKeras3)
    for (const value of inputs) if (draft.masks[value] !== undefined) draft.masks[value] = 'unclear';
  const { result } = rule;
  const lazily = (make: () => number): Mask => {
    let value: number | undefined;
    return {
      value: () => {
        value ??= make();
        return value;
      },
    };
  };
  const known = masks as Exclude<Mask, 'unclear' | undefined>[];
  const values = () => known.map((own) => own.value());
  const joined = (name: string, config: JsonObject) =>
    lazily(() => maskNode(draft, name, values(), layer, config));
  let mask: Mask;
  if (result === 'own')
    mask = lazily(() =>
      maskNode(draft, 'ComputeMask', [inputs[0] as number], layer, {
        tokens: operation === 'Embedding',
        mask_value: attributes.mask_value ?? 0,
      }),
    );
  else if (typeof result === 'object' && 'combine' in result)
    mask = joined('CombineMasks', { how: result.combine });
  else if (typeof result === 'object' && 'concatenate' in result)
    mask = joined('ConcatenateMasks', { axis: result.concatenate });
  else mask = result;
  return { used, result: mask };
}

/**
 * Inputs of a layer's call, masks of attention as truth values: whatever is not 0 is true to Keras 3, be it 3 or 0.5, and factors
 * of scores they would be here.
 */
export function withTruth(
  draft: Draft,
  operation: string,
  inputs: readonly number[],
  roles: readonly string[],
  layer: string,
): readonly number[] {
  if (!isProjected(operation) || !draft.isKeras3) return inputs;
  const isNumber = (value: number) => draft.values[value]?.dtype !== 'bool';
  return inputs.map((value, i) =>
    roles[i] === 'attention_mask' && isNumber(value)
      ? maskNode(
          draft,
          `${OPERATION}NotEqual`,
          [value],
          layer,
          {},
          { args: [{ [TENSOR]: 0 }, 0], kwargs: {} },
        )
      : value,
  );
}

/** A node that makes a mask, beside the layer that it belongs to. */
function maskNode(
  draft: Draft,
  name: string,
  inputs: readonly number[],
  layer: string,
  config: JsonObject,
  call: JsonObject = {},
): number {
  const found = layerOf({ class_name: name, config }, draft.isKeras3, call) as Layer;
  const { operation, attributes } = found;
  const shapes = inputs.map((value) => draft.values[value]?.shape);
  const roles = inputs.map(() => 'x');
  const shape = operation?.shape({ attributes, shapes, roles })?.[0];
  const output = draft.value(shape, 'bool');
  const at = `${layer}_mask`;
  draft.nodes.push({
    ...{ operation: name, attributes, inputs, roles, outputs: [output], weights: {}, layer: at },
    ...{ className: name, steps: 0, training: {} },
  });
  return output;
}
