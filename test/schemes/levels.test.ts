// Levels and codes: one grid for each scheme, by which values, codes and levels agree.

import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { GRIDS, topOf } from '../../src/schemes/grids.js';
import { packLevels, unpackLevels } from '../../src/schemes/levels.js';
import { SCHEMES } from '../../src/schemes/quantize.js';
import type { SchemeName } from '../../src/schemes/types.js';
import { backends, hex } from '../kernels/support.js';
import { throws } from '../support/throws.js';

const NAMES = Object.keys(SCHEMES) as SchemeName[];
const range = (count: number) => Uint8Array.from({ length: count }, (_, i) => i);

test('every scheme has a grid of 2^bits levels that is its own mirror image, or one longer below', () => {
  assert.equal(Object.keys(GRIDS), NAMES);
  for (const scheme of NAMES) {
    const { offset, levels } = GRIDS[scheme];
    assert.is(levels, 2 ** SCHEMES[scheme].bits);
    assert.is(topOf(scheme), scheme === 'int4' ? -offset - 1 : -offset);
  }
});

for (const [name, kernels] of backends) {
  test(`${name}: every level, by hand`, () => {
    const pack = (scheme: SchemeName) => hex(packLevels(kernels, scheme, range(GRIDS[scheme].levels)));
    assert.is(pack('binary'), '02');
    // q = -2, -1, 0, 1: 2, 3, 0, 1 from the lowest bits up
    assert.is(pack('int2'), '4e');
    assert.is(pack('int4'), '98badcfe10325476');
  });

  test(`${name}: levels come back, and a level's value is scale * (offset + step * level)`, () => {
    const scheme = fc.constantFrom(...NAMES);
    const scales = fc.float({ noNaN: true, noDefaultInfinity: true });
    fc.assert(
      fc.property(scheme, scales, fc.uint8Array({ max: 15, maxLength: 300 }), (scheme, scale, raw) => {
        const { offset, step, levels: count } = GRIDS[scheme];
        const levels = raw.map((level) => level % count);
        const codes = packLevels(kernels, scheme, levels);
        assert.is(codes.length, Math.ceil((levels.length * SCHEMES[scheme].bits) / 8));
        assert.equal(unpackLevels(kernels, scheme, codes, levels.length), levels);
        const layout = { outer: 1, channels: 1, inner: levels.length, groupRows: Math.max(1, levels.length) };
        const out = new Float32Array(levels.length);
        SCHEMES[scheme].unpackInto(
          kernels,
          codes,
          Float32Array.of(scale).subarray(0, levels.length),
          layout,
          out,
        );
        const expected = Float32Array.from(levels, (level) => scale * (offset + step * level));
        assert.equal(out, expected);
      }),
      { numRuns: 300 },
    );
  });

  test(`${name}: more levels than one tile`, () => {
    for (const scheme of NAMES) {
      const levels = Uint8Array.from({ length: 140_001 }, (_, i) => (i * i + 3 * i) % GRIDS[scheme].levels);
      assert.equal(unpackLevels(kernels, scheme, packLevels(kernels, scheme, levels), levels.length), levels);
    }
  });

  test(`${name}: wrong arguments`, () => {
    const text = '"levels" expected levels below 4 for scheme int2, got 4 (index 1)';
    assert.throws(
      () => packLevels(kernels, 'int2', Uint8Array.of(3, 4)),
      (error: unknown) => {
        assert.instance(error, RangeError);
        return (error as Error).message === text;
      },
    );
    throws(() => packLevels(kernels, 'int2', [1] as unknown as Uint8Array), TypeError);
    assert.throws(
      () => unpackLevels(kernels, 'int2', Uint8Array.of(1, 2), 4),
      /"codes" expected 1 bytes, got 2/,
    );
  });
}

test.run();
