import type { JsonObject, WeightInfo } from '../../model.js';
import { givesZeros, headsOf } from '../../network/operations/sequences.js';
import { flatRows, type MultiHeadConfig, mixHeads } from '../../tfjs/layers/attention.js';
import type { Tensor, Tensor2D, Tensor5D, TensorFlow } from '../../tfjs/types.js';
import { type Linear, rowsMap, type Values } from './linear.js';

const camel = (name: string) => name.replace(/_(\w)/g, (_, c: string) => c.toUpperCase());

/**
 * The projections of a multi-head attention, whatever its queries, keys and values are (self-attention, cross-attention):
 *
 *     query, key, value    rows are what each is given, [batch, 1, 1, positions, features]
 *     attention_output     rows are the values as the heads mix them, softmax(Q K' / sqrt(d)) V, of the network whose weights are
 *                          given: its other projections are fitted already
 *
 * Positions that a mask leaves out do not count. Shifts go into the bias of each projection.
 *
 * @param weights by their role, `query/kernel`
 * @param takesShift whether a bias may be changed
 */
export function attention(
  attributes: JsonObject,
  roles: readonly string[],
  weights: ReadonlyMap<string, WeightInfo>,
  takesShift: (bias: WeightInfo) => boolean,
): Linear[] | string {
  const { heads, keyHeads, keyDim, valueDim, parts, window } = headsOf(attributes);
  const config: MultiHeadConfig = {
    ...{ numHeads: heads, keyHeads, keyDim, valueDim, slidingWindow: window },
    roles: roles.map(camel),
    useCausalMask: attributes.use_causal_mask === true,
    useGate: attributes.use_gate === true,
  };
  const kernels = parts.map((part) => weights.get(`${part}/kernel`));
  if (kernels.some((kernel) => kernel?.shape.length !== 3)) return 'its kernels are not those of the class';
  const input = (inputs: readonly Tensor[], role: string) => inputs[roles.indexOf(role)];
  const rows = (tf: TensorFlow, x: Tensor) => {
    const [batch, positions, features] = x.shape as [number, number, number];
    return tf.reshape(x, [batch, 1, 1, positions, features]) as Tensor5D;
  };
  const product = (tf: TensorFlow, image: Tensor5D, kernel: Tensor, k: number, n: number) => {
    const y = tf.matMul(tf.reshape(image, [-1, k]) as Tensor2D, tf.reshape(kernel, [k, n]) as Tensor2D);
    return tf.reshape(y, [...image.shape.slice(0, 4), n] as Tensor5D['shape']) as Tensor5D;
  };

  /** What each part is given; keys are the values where there are no others. */
  const given = {
    query: (tf: TensorFlow, inputs: readonly Tensor[]) => flatRows(tf, input(inputs, 'query') as Tensor),
    key: (tf: TensorFlow, inputs: readonly Tensor[]) =>
      flatRows(tf, (input(inputs, 'key') ?? input(inputs, 'value')) as Tensor),
    value: (tf: TensorFlow, inputs: readonly Tensor[]) => flatRows(tf, input(inputs, 'value') as Tensor),
    gate: (tf: TensorFlow, inputs: readonly Tensor[]) => flatRows(tf, input(inputs, 'query') as Tensor),
    attention_output(tf: TensorFlow, inputs: readonly Tensor[], values: Values) {
      const zeroMasked = givesZeros(attributes, (input(inputs, 'query') as Tensor).rank - 2);
      const { mixed } = mixHeads(tf, { ...config, zeroMasked }, inputs, (name) => {
        const weight = weights.get(name);
        return weight && values(weight);
      });
      const [batch, heads, positions, size] = mixed.shape as [number, number, number, number];
      return tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), [batch, positions, heads * size]);
    },
  };
  const masksOf: Readonly<Record<(typeof parts)[number], readonly string[]>> = {
    query: ['query_mask'],
    key: ['value_mask', 'key_mask'],
    value: ['value_mask', 'key_mask'],
    gate: ['query_mask'],
    attention_output: ['query_mask'],
  };
  return parts.map((part) => {
    const weight = weights.get(`${part}/kernel`) as WeightInfo;
    const [first, second, third] = weight.shape as [number, number, number];
    const [k, n] = part === 'attention_output' ? [first * second, third] : [first, second * third];
    const bias = weights.get(`${part}/bias`);
    return rowsMap(
      weight,
      { k, n },
      {
        ...(bias && takesShift(bias) ? { bias: { weight: bias, from: 0 } } : {}),
        input: (tf, inputs, values) => rows(tf, given[part](tf, inputs, values)),
        outputs: (tf, image, values) => product(tf, image, values(weight), k, n),
        mask(tf, inputs) {
          const masks = masksOf[part].flatMap((role) => input(inputs, role) ?? []);
          const [one, ...rest] = masks.map((mask) => tf.cast(mask, 'float32'));
          return one && rest.reduce((joint, mask) => tf.mul(joint, mask), one);
        },
      },
    );
  });
}
