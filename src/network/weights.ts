import type { WeightInfo } from '../model.js';
import type { WeightRole } from './operations/operation.js';
import type { Shape } from './types.js';

/** The weights of each layer, in the order in which it stores them. */
export function weightsByLayer(weights: readonly WeightInfo[]): Map<string, WeightInfo[]> {
  const layers = new Map<string, WeightInfo[]>();
  for (const weight of weights) {
    const list = layers.get(weight.layer);
    if (list) list.push(weight);
    else layers.set(weight.layer, [weight]);
  }
  return layers;
}

/**
 * The weights of a layer that are used, each with its role. A file has all of them or leaves out those that are not used; undefined
 * where it has another number.
 */
export function byRole(
  roles: readonly WeightRole[],
  found: readonly WeightInfo[],
): (WeightRole & { readonly weight: WeightInfo })[] | undefined {
  const used = roles.filter(({ isUnused }) => !isUnused);
  const listed = [roles, used].find(({ length }) => length === found.length);
  return listed
    ?.map((role, i) => ({ ...role, weight: found[i] as WeightInfo }))
    .filter(({ isUnused }) => !isUnused);
}

/** Why a weight is not the one that the architecture tells of. */
export function shapeFault({ id, shape }: WeightInfo, wanted: Shape | undefined): string | undefined {
  if (!wanted) return undefined;
  const isRight =
    wanted.length === shape.length && wanted.every((n, axis) => n === null || n === shape[axis]);
  if (isRight) return undefined;
  const shown = wanted.map((n) => n ?? 'any').join(',');
  return `expected shape [${shown}] as the architecture says, got [${shape}] (tensor ${id})`;
}
