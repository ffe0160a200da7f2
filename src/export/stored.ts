// Weights of a network as an export finds them: codes and scales, or floats.
import { BitnibbleError } from '../errors.js';
import type { ModelSource, WeightInfo } from '../model.js';
import type { PackedWeight } from '../packed/quantized-model.js';
import type { QuantizedTensor, SchemeName } from '../schemes/types.js';

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

/** Where a model is from and how its weights are stored, for those who look into the file. */
export function metadataOf(
  { file, kerasVersion }: ModelSource,
  weights: string,
  coded: ReadonlyMap<string, QuantizedTensor>,
): Readonly<Record<string, string>> {
  const codings = [...coded].map(([id, { coding }]) => {
    const { scheme, granularity, groupSize } = coding;
    return [id, `${scheme}/${granularity}${groupSize === undefined ? '' : `/${groupSize}`}`];
  });
  return {
    'bitnibble.source': file.replace(/^.*[\\/]/, ''),
    'bitnibble.keras_version': kerasVersion,
    'bitnibble.weights': weights,
    ...(codings.length > 0 ? { 'bitnibble.quantization': JSON.stringify(Object.fromEntries(codings)) } : {}),
  };
}

/** Axes along which a weight has scales of its own: none where there is one; undefined where rows are grouped. */
export function scaleAxes({ layout, shape, coding }: QuantizedTensor): readonly number[] | undefined {
  if (layout.groupRows < layout.outer * layout.inner) return undefined;
  if (layout.channels === 1) return [];
  return coding.axes.filter((axis) => shape[axis] !== 1);
}
