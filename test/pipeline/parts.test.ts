// Sensitivities and reports in parts: what each part does, and that the parts together are the whole.
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { BitnibbleError } from '../../src/errors.js';
import { randomStream } from '../../src/pipeline/calibrate/linear.js';
import {
  mergeReports,
  type PartialReport,
  placesOf,
  type ReportWork,
  shareOf,
} from '../../src/pipeline/report/parts.js';
import type { Unplaced } from '../../src/pipeline/report/rows.js';
import type { Report, ReportCalibration } from '../../src/pipeline/report/types.js';
import {
  mergeSensitivity,
  type SensitivityPart,
  type SensitivityRow,
} from '../../src/pipeline/sensitivity-parts.js';

function refused(work: () => unknown, text: RegExp): void {
  try {
    work();
  } catch (error) {
    assert.is((error as BitnibbleError).code, 'part-mismatch', String(error));
    assert.match((error as Error).message, text);
    return;
  }
  assert.unreachable(`not refused: ${text}`);
}

const drawn = (seed: number, name: string) => {
  const random = randomStream(seed, name);
  return Array.from({ length: 8 }, () => random(1 << 30));
};

test('every name has a stream of random numbers of its own, the same each time', () => {
  const streams = [0, 1, 2 ** 31].flatMap((seed) =>
    ['', 'a', 'b', 'ab', 'ba', 'dense first map', 'dense other maps'].map((name) => drawn(seed, name)),
  );
  assert.is(new Set(streams.map(String)).size, streams.length);
  assert.equal(drawn(7, 'dense'), drawn(7, 'dense'));
  // FNV-1a of four zero bytes and "a": computed by hand from its definition.
  let hash = 0x811c9dc5n;
  for (const byte of [0n, 0n, 0n, 0n, 97n]) hash = ((hash ^ byte) * 0x01000193n) & 0xffffffffn;
  let state = (hash + 0x6d2b79f5n) & 0xffffffffn;
  const mul = (a: bigint, b: bigint) => (a * b) & 0xffffffffn;
  const t = mul(state ^ (state >> 15n), state | 1n);
  state = t ^ ((t + mul(t ^ (t >> 7n), t | 61n)) & 0xffffffffn);
  assert.is(drawn(0, 'a')[0], Math.floor((Number(state ^ (state >> 14n)) / 2 ** 32) * (1 << 30)));
});

const rowOf = (place: number): SensitivityRow => ({
  ...{ layer: `l${place >> 1}`, className: 'Dense', weights: ['w'], parameters: 10, scheme: 'int4' },
  ...{ granularity: 'channel', divergence: place / 7, bytes: 5, saved: 35 },
});

const sensitivityPart = (places: readonly number[], count: number, warnings: string[] = []) =>
  ({
    rows: places.map((place) => ({ place, row: rowOf(place) })),
    ...{ count, samples: 64, compared: 32, seconds: 2, warnings },
  }) satisfies SensitivityPart;

test('rows of sensitivities come in their places, however they are divided and in whatever order parts come', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 30 }),
      fc.shuffledSubarray([0, 1, 2, 3, 4, 5], { minLength: 6, maxLength: 6 }),
      (owners, order) => {
        const count = owners.length;
        const parts = order.map((part) =>
          sensitivityPart(
            owners.flatMap((owner, place) => (owner === part ? [place] : [])),
            count,
            ['few samples'],
          ),
        );
        const { rows, seconds, warnings, samples, compared } = mergeSensitivity(parts);
        assert.equal(
          rows,
          owners.map((_, place) => rowOf(place)),
        );
        assert.equal([seconds, warnings, samples, compared], [12, ['few samples'], 64, 32]);
      },
    ),
  );
  const expected = /expected 3 rows, each once, got/;
  refused(() => mergeSensitivity([sensitivityPart([0, 2], 3)]), expected);
  refused(() => mergeSensitivity([sensitivityPart([0, 1, 2], 3), sensitivityPart([1], 3)]), expected);
  refused(() => mergeSensitivity([sensitivityPart([0, 1, 3], 3)]), expected);
  refused(() => mergeSensitivity([sensitivityPart([0, 1, 1], 3)]), expected);
});

const works = fc.record<ReportWork>(
  {
    rounded: fc.integer({ min: 0, max: 20 }),
    evaluated: fc.integer({ min: 1, max: 10_000 }),
    calibration: fc.record({
      samples: fc.integer({ min: 1, max: 2048 }),
      rows: fc.integer({ min: 1, max: 4 }),
      mixes: fc.integer({ min: 0, max: 12 }),
    }),
  },
  { requiredKeys: ['rounded', 'evaluated'] },
);

test('every piece of a report is done by one part', () => {
  fc.assert(
    fc.property(works, fc.integer({ min: 1, max: 24 }), (work, parts) => {
      const all = placesOf(work);
      const shares = Array.from({ length: parts }, (_, i) => shareOf(work, { part: i + 1, parts }));
      for (const key of [
        'calibrated',
        'rounded',
        'sensitivity',
        'mixes',
        'activations',
        'histograms',
      ] as const)
        assert.equal(
          shares.flatMap((share) => share[key]).sort((a, b) => a - b),
          [...all[key]].sort((a, b) => a - b),
          key,
        );
      const places = shares.flatMap((share) => Object.values(share).flat()).sort((a, b) => a - b);
      assert.equal(
        places,
        Array.from({ length: all.count - 1 }, (_, i) => i + 1),
      );
      // Whoever measures sensitivities without need takes time for nothing.
      const measuring = shares.filter(
        ({ sensitivity, mixes }) => sensitivity.length + mixes.length > 0,
      ).length;
      assert.ok(measuring <= Math.max(1, work.calibration?.mixes ?? 0));
      if (!work.calibration) assert.is(measuring, 0);
    }),
  );
});

test('mixed rows are in several parts where calibrating is what takes long, and in one where it is not', () => {
  const measuring = (work: ReportWork, parts: number) =>
    Array.from({ length: parts }, (_, i) => shareOf(work, { part: i + 1, parts })).filter(
      ({ mixes }) => mixes.length > 0,
    ).length;
  const calibration = { rows: 3, mixes: 4 };
  assert.is(measuring({ rounded: 15, evaluated: 10, calibration: { ...calibration, samples: 2048 } }, 8), 4);
  assert.is(measuring({ rounded: 15, evaluated: 1e6, calibration: { ...calibration, samples: 16 } }, 2), 1);
});

const row = (name: string, kind: Unplaced['kind'], bytes: number): Unplaced => ({
  ...{ name, kind, isMain: false, bytes, ratio: 1, bitsPerWeight: 4, divergence: bytes / 100, tensors: [] },
  seconds: { quantize: 1, evaluate: 1 },
});

/** What a part would say that does this share of the work. */
function partial(work: ReportWork, part: number, parts: number): PartialReport {
  const all = placesOf(work);
  const share = shareOf(work, { part, parts });
  const rows = [
    ...share.calibrated.map((place) => ({ place, row: row(`c${place}`, 'calibrated', 50 + place) })),
    ...share.rounded.map((place) => ({ place, row: row(`r${place}`, 'data-free', 40 + place) })),
    ...share.mixes.map((place) => ({ place, row: row(`m${place}`, 'mixed', 90 - place) })),
  ];
  const measures = share.sensitivity.length + share.mixes.length > 0;
  const calibration: ReportCalibration = {
    ...{ data: 'd', samples: 9, compared: 9, granularity: 'channel', sensitivity: [rowOf(3)] },
  };
  return {
    about: {
      ...{ file: 'm.h5', parameters: 9, floatBytes: 36, folded: 0, seed: 0, left: ['x'] },
      ...{ data: { name: 'd', samples: 9 }, distance: 'squared-error', task: { kind: 'other', why: 'y' } },
    },
    ...{ done: Object.values(share).flat(), count: all.count, float: row('float32', 'float', 400), rows },
    warnings: [{ place: 0, text: 'float' }, ...rows.map(({ place }) => ({ place, text: `w${place % 3}` }))],
    ...(measures ? { calibration } : {}),
    ...(share.activations.length > 0 ? { activations: [] } : {}),
    ...(share.histograms.length > 0 ? { weights: [] } : {}),
    seconds: [
      { part: 'float model', seconds: 1 },
      { part: 'rounded', seconds: share.rounded.length },
    ],
  };
}

const timeless = (report: Report) => ({ ...report, seconds: report.seconds.map(({ part }) => part) });

test('the report of all parts, in any order, is the report of one', () => {
  fc.assert(
    fc.property(works, fc.integer({ min: 1, max: 9 }), fc.infiniteStream(fc.nat()), (work, parts, keys) => {
      const one = mergeReports([partial(work, 1, 1)]);
      const shares = Array.from({ length: parts }, (_, i) => ({
        key: keys.next().value as number,
        own: partial(work, i + 1, parts),
      }));
      const shuffled = shares.sort((a, b) => a.key - b.key).map(({ own }) => own);
      const merged = mergeReports(shuffled);
      assert.equal(timeless(merged), timeless(one));
      assert.equal(merged.seconds, [
        { part: 'float model', seconds: parts },
        { part: 'rounded', seconds: work.rounded },
      ]);
      assert.is(
        one.rows.length,
        1 + work.rounded + (work.calibration ? work.calibration.rows + work.calibration.mixes : 0),
      );
    }),
  );
});

test('a report that lacks a piece of the work, has one twice or mixtures of two kinds is refused', () => {
  const work = { rounded: 5, evaluated: 9, calibration: { samples: 2000, rows: 3, mixes: 4 } };
  const parts = [1, 2, 3, 4].map((part) => partial(work, part, 4));
  assert.ok(mergeReports(parts));
  refused(() => mergeReports(parts.slice(1)), /expected each of 15 pieces of work once, got/);
  refused(() => mergeReports([...parts, parts[2] as PartialReport]), /pieces of work once/);
  const other = parts.map((own, i) =>
    own.calibration && i > 0 ? { ...own, calibration: { ...own.calibration, sensitivity: [rowOf(4)] } } : own,
  );
  const names = ['1.part', '2.part', '3.part', '4.part'];
  refused(
    () => mergeReports(other, names),
    /^\d\.part: sensitivities of layers are other ones than in \d\.part/,
  );
});

test.run();
