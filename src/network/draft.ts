import type { Mask } from './masks.js';
import type { IntegerType, NetworkNode, Problem, Shape, Value, ValueType } from './types.js';

/** A network while it is read: values with the masks beside them, nodes, and what is wrong. */
export class Draft {
  readonly values: Value[] = [];
  readonly masks: Mask[] = [];
  readonly nodes: NetworkNode[] = [];
  readonly problems: Problem[] = [];

  constructor(readonly isKeras3: boolean) {}

  value(shape: Shape | undefined, dtype: ValueType, mask?: Mask, integer?: IntegerType): number {
    this.masks.push(mask);
    return this.values.push({ shape, dtype, ...(integer ? { integer } : {}) }) - 1;
  }

  problem(
    layer: string,
    className: string,
    reason: string,
    code: Problem['code'] = 'unsupported-layer',
  ): void {
    const isKnown = this.problems.some((known) => known.layer === layer && known.reason === reason);
    if (!isKnown) this.problems.push({ layer, className, reason, code });
  }
}
