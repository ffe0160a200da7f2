// Values under another shape.
import { ints } from './attributes.js';
import { type Operation, product } from './operation.js';

/** A target shape with one length of -1 filled in. */
export function reshaped(target: readonly number[], total: number | null): (number | null)[] {
  const known = target.filter((n) => n !== -1).reduce((a, b) => a * b, 1);
  return target.map((n) => (n === -1 ? (total === null || known === 0 ? null : total / known) : n));
}

/** Why values cannot take a shape, as far as their number is known. */
export function reshapeFault(target: readonly number[], total: number | null): string | undefined {
  const open = target.filter((n) => n === -1).length;
  const known = target.filter((n) => n !== -1).reduce((a, b) => a * b, 1);
  const isShape = open <= 1 && target.every((n) => n >= -1);
  const fits = total === null || (open === 0 ? known === total : known > 0 && total % known === 0);
  return isShape && fits ? undefined : `${total ?? 'any number of'} values in the shape [${target}]`;
}

/** The layer. */
export const reshape: Operation = {
  attributes: { target_shape: ints('a shape') },
  fault: ({ attributes, shapes: [x] }) =>
    reshapeFault(attributes.target_shape as number[], x ? product(x.slice(1)) : null),
  shape: ({ attributes, shapes: [x] }) =>
    x && [[x[0] ?? null, ...reshaped(attributes.target_shape as number[], product(x.slice(1)))]],
  dtype: 'same',
};
