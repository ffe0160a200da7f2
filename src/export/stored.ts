// Weights of a network as an export finds them: codes and scales, or floats.
import { BitnibbleError } from '../errors.js';
import type { ModelSource, WeightInfo } from '../model.js';
import type { PackedWeight } from '../packed/quantized-model.js';
import type { QuantizedTensor, SchemeName } from '../schemes/types.js';
import type { Granularity } from '../shape.js';

/** A model whose weights may be codes. */
export interface CodedSource extends ModelSource {
  weight?(id: string): PackedWeight;
}

export const BITS: Readonly<Record<SchemeName, 1 | 2 | 4>> = { binary: 1, int2: 2, int4: 4 };

/** The codes and scales of a weight; undefined where it is floats. */
export function codedWeight(source: CodedSource, id: string): QuantizedTensor | undefined {
  const own = source.weight?.(id);
  return own?.kind === 'quantized' ? own.tensor : undefined;
}

/** What is known of the weights of a model, by their ids. */
export function weightInfos(source: ModelSource): (id: string) => WeightInfo {
  const byId = new Map(source.weights.map((weight) => [weight.id, weight]));
  return (id) => {
    const own = byId.get(id);
    if (!own) throw new BitnibbleError('missing-weight', `${source.file}: no weight named ${id}`);
    return own;
  };
}

/** How the scales of a coded weight lie: one for all, one for each channel, or one for so many rows. */
export function granularityOf({ coding }: QuantizedTensor): {
  readonly granularity: Granularity;
  readonly groupSize: number | undefined;
} {
  return { granularity: coding.granularity, groupSize: coding.groupSize };
}

/** Axes along which a weight has scales of its own: none where there is one; undefined where rows are grouped. */
export function scaleAxes({ layout, shape, coding }: QuantizedTensor): readonly number[] | undefined {
  if (layout.groupRows < layout.outer * layout.inner) return undefined;
  if (layout.channels === 1) return [];
  return coding.axes.filter((axis) => shape[axis] !== 1);
}
