import { expected } from '../errors.js';
import { type CodedSource, codedWeight } from '../export/stored.js';
import type { ModelSource } from '../model.js';
import { readPlain } from '../network/plain.js';
import type { Network, NetworkNode, ValueType } from '../network/types.js';
import type { Later } from './later.js';
import type { NetworkPort } from './network.js';
import type { ProductOptions } from './options.js';
import { type Plan, planNetwork, requireOperations } from './plan.js';
import type { Program } from './program.js';
import { isPlanned, ownActivation, PLAIN_ROWS, type Rows } from './rows.js';
import type { Kernels } from './types.js';
import { hasLevels } from './weights.js';

export interface Prepared {
  readonly network: Network;
  readonly program: Program;
  readonly plan: Plan;
  readonly inputs: readonly NetworkPort[];
}

/** What a network is prepared for. */
export interface Host {
  /** At least those of plain networks, which are loaded first, or all. */
  kernelsOf(needed: 'plain' | 'all'): Promise<Kernels>;
  programOf(kernels: Kernels): Program;
}

/**
 * Turns a model into the steps of a program.
 *
 * @param later loads what plain networks do without
 * @param shapeOf the shape of an input, without the batch, all lengths fixed
 * @throws BitnibbleError `unsupported-layer` and what opening a network throws
 */
export async function prepare(
  later: Later,
  model: ModelSource,
  host: Host,
  options: ProductOptions,
  shapeOf: (name: string, own: readonly (number | null)[] | undefined) => readonly number[],
): Promise<Prepared> {
  const plain = readPlain(model, model.weights);
  const { network, source } = plain ? { network: plain, source: model } : await later.network(model);
  const { rows, kernels } = await rowsFor(later, network, source, host);
  requireOperations(network, source.file, rows);
  const inputs = network.inputs.map(({ name, value }) => {
    const { shape, dtype } = network.values[value] as {
      shape?: readonly (number | null)[];
      dtype: ValueType;
    };
    return { name, dtype, shape: shapeOf(name, shape?.slice(1)) };
  });
  const shapes = inputs.map(({ shape }) => shape);
  const program = host.programOf(kernels);
  return { network, program, inputs, plan: planNetwork(program, network, source, shapes, options, rows) };
}

/** The fewest rows that compute a network, and their kernels, which come beside them. */
async function rowsFor(
  later: Later,
  network: Network,
  source: CodedSource,
  host: Host,
): Promise<{ readonly rows: Rows; readonly kernels: Kernels }> {
  const both = async (coming: Promise<Rows>) => {
    const [rows, kernels] = await Promise.all([coming, host.kernelsOf('all')]);
    return { rows, kernels };
  };
  // Other rows than all know no masks, which may be inputs of the model itself, and no whole numbers that may be large.
  const isSimple =
    network.values.every(({ integer }) => !/(32|64)$/.test(integer ?? '')) &&
    network.nodes.every((node) => node.steps === 0 && node.roles.every((role) => role === 'x'));
  if (!isSimple) return both(later.allRows());
  const isInteger = ({ weights: { kernel } }: NetworkNode) =>
    kernel === undefined || hasLevels(codedWeight(source, kernel));
  const takes = (rows: Rows) => (node: NetworkNode) =>
    isPlanned(rows, node) && ownActivation(rows, node.attributes) !== undefined;
  if (network.nodes.every((node) => isInteger(node) && takes(PLAIN_ROWS)(node)))
    return { rows: PLAIN_ROWS, kernels: await host.kernelsOf('plain') };
  const float = await both(later.floatRows());
  return network.nodes.every(takes(float.rows)) ? float : { ...float, rows: await later.allRows() };
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
