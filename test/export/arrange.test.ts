import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  type Arrangement,
  arrange,
  arrangeCodes,
  arrangedShape,
  packCodes,
  unpackCodes,
} from '../../src/export/arrange.js';

/** Axes in any order, neighbours joined, one of them picked from, axes of length 1 between. */
const cases = fc
  .array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 4 })
  .chain((shape) =>
    fc.record({
      shape: fc.constant(shape),
      order: fc.shuffledSubarray(
        shape.map((_, i) => i),
        { minLength: shape.length },
      ),
      cuts: fc.array(fc.boolean(), { minLength: shape.length, maxLength: shape.length }),
      isSpread: fc.boolean(),
      axis: fc.integer({ min: 0, max: shape.length - 1 }),
      places: fc.option(fc.array(fc.nat(), { minLength: 1, maxLength: 5 })),
    }),
  )
  .map(({ shape, order, cuts, isSpread, axis, places }) => {
    const axes: number[][] = [];
    order.forEach((one, i) => {
      if (i === 0 || cuts[i]) axes.push([one]);
      else (axes.at(-1) as number[]).push(one);
    });
    if (isSpread) axes.splice(1, 0, []);
    const length = shape[axis] as number;
    const pick = places ? { pick: { axis, places: places.map((n) => n % length) } } : {};
    return { shape, arrangement: { axes, ...pick } as Arrangement };
  });

/** Element by element: the place of each element of the result in the tensor. */
function sources(shape: readonly number[], { axes, pick }: Arrangement): number[] {
  const length = (axis: number) => (pick?.axis === axis ? pick.places.length : (shape[axis] as number));
  const list = axes.flat();
  const total = list.reduce((n, axis) => n * length(axis), 1);
  return Array.from({ length: total }, (_, i) => {
    const at = shape.map(() => 0);
    let rest = i;
    for (const axis of [...list].reverse()) {
      const place = rest % length(axis);
      at[axis] = pick?.axis === axis ? (pick.places[place] as number) : place;
      rest = Math.floor(rest / length(axis));
    }
    return at.reduce((n, place, axis) => n * (shape[axis] as number) + place, 0);
  });
}

test('values and codes stand where the arrangement says', () => {
  fc.assert(
    fc.property(
      cases,
      fc.constantFrom(1 as const, 2 as const, 4 as const),
      ({ shape, arrangement }, bits) => {
        const count = shape.reduce((n, d) => n * d, 1);
        const values = Float32Array.from({ length: count }, (_, i) => i);
        const expected = sources(shape, arrangement);
        assert.equal([...arrange(values, shape, arrangement)], expected);
        assert.is(
          arrangedShape(shape, arrangement).reduce((n, d) => n * d, 1),
          expected.length,
        );
        const codes = Uint8Array.from(values, (i) => (i * 7 + 3) & ((1 << bits) - 1));
        const packed = arrangeCodes(packCodes(codes, bits), bits, shape, arrangement);
        assert.equal(
          [...unpackCodes(packed, bits, expected.length)],
          expected.map((at) => codes[at]),
        );
        assert.is(packed.length, Math.ceil((expected.length * bits) / 8));
      },
    ),
  );
});

test('a kernel of HWIO as OIHW', () => {
  const kernel = Float32Array.from({ length: 2 * 1 * 3 * 2 }, (_, i) => i);
  const turned = arrange(kernel, [2, 1, 3, 2], { axes: [[3], [2], [0], [1]] });
  assert.equal([...turned], [0, 6, 2, 8, 4, 10, 1, 7, 3, 9, 5, 11]);
});

test.run();
