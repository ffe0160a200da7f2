import { expected } from '../errors.js';
import type { ModelSource } from '../model.js';
import { readPlain } from '../network/plain.js';
import type { Network, ValueType } from '../network/types.js';
import type { Later } from './later.js';
import type { NetworkPort } from './network.js';
import { type Plan, planNetwork, requireOperations } from './plan.js';
import type { ProductOptions } from './product.js';
import type { Program } from './program.js';
import { isPlanned, PLAIN_ROWS } from './rows.js';

export interface Prepared {
  readonly network: Network;
  readonly plan: Plan;
  readonly inputs: readonly NetworkPort[];
}

/**
 * Adds the steps of a model to a program.
 *
 * @param later loads what plain networks do without
 * @param shapeOf the shape of an input, without the batch, all lengths fixed
 * @throws BitnibbleError `unsupported-layer` and what opening a network throws
 */
export async function prepare(
  later: Later,
  model: ModelSource,
  program: Program,
  options: ProductOptions,
  shapeOf: (name: string, own: readonly (number | null)[] | undefined) => readonly number[],
): Promise<Prepared> {
  const plain = readPlain(model, model.weights);
  const { network, source } = plain ? { network: plain, source: model } : await later.network(model);
  // Those rows know no masks, which may be inputs of the model itself, and no whole numbers that may be large.
  const isPlain =
    network.values.every(({ integer }) => !/(32|64)$/.test(integer ?? '')) &&
    network.nodes.every(
      (node) => node.steps === 0 && node.roles.every((role) => role === 'x') && isPlanned(PLAIN_ROWS, node),
    );
  const rows = isPlain ? PLAIN_ROWS : await later.rows();
  requireOperations(network, source.file, rows);
  const inputs = network.inputs.map(({ name, value }) => {
    const { shape, dtype } = network.values[value] as {
      shape?: readonly (number | null)[];
      dtype: ValueType;
    };
    return { name, dtype, shape: shapeOf(name, shape?.slice(1)) };
  });
  const shapes = inputs.map(({ shape }) => shape);
  return { network, inputs, plan: planNetwork(program, network, source, shapes, options, rows) };
}

/** The shape of an input as its network and the caller have it. @throws RangeError */
export function fixedShape(
  name: string,
  own: readonly (number | null)[] | undefined,
  given: readonly number[] | undefined,
  file: string,
): readonly number[] {
  const shape = given ?? own;
  const isFixed = shape?.every((n) => Number.isSafeInteger(n) && Number(n) > 0);
  if (!shape || !isFixed) {
    const what = `a shape with fixed lengths in the option shapes`;
    throw new RangeError(expected(name, what, `[${(shape ?? []).map((n) => n ?? '?')}]`, file));
  }
  const fits =
    own === undefined || (own.length === shape.length && own.every((n, i) => n === null || n === shape[i]));
  if (!fits)
    throw new RangeError(expected(name, `shape [${own?.map((n) => n ?? 'any')}]`, `[${shape}]`, file));
  return shape as readonly number[];
}
