// What the first sentence of a report claims, and what its threshold and its error bars allow.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { estimateSeconds } from '../../src/pipeline/report/estimate.js';
import type { ReportRow } from '../../src/pipeline/report/types.js';
import { byBits } from '../../src/report/format.js';
import { chosenRow, lossBounds, rowTable, summary, threshold } from '../../src/report/summary.js';
import type { ReportDocument } from '../../src/report/types.js';

/** A row of which so many answers of `n` turned wrong and right. */
function row(
  name: string,
  bytes: number,
  [broken, repaired]: readonly [number, number],
  n: number,
): ReportRow {
  const drop = (broken - repaired) / n;
  const dropError = Math.sqrt(broken + repaired - (broken - repaired) ** 2 / n) / n;
  return {
    ...{ name, kind: 'calibrated', isMain: true, bytes, ratio: 100_000 / bytes, isPareto: true, tensors: [] },
    ...{ bitsPerWeight: bytes / 1000, divergence: 0.1, seconds: { quantize: 1, evaluate: 1 } },
    classes: {
      ...{ top1: 0.9 - drop, loss: 1, drop, dropError, perClass: [], moved: [] },
      changed: { broken, repaired, other: 0 },
    },
  };
}

function report(samples: number, rows: readonly ReportRow[], within?: number): ReportDocument {
  const float = { ...row('float32', 100_000, [0, 0], samples), kind: 'float' };
  const data = { name: 'x', samples };
  return {
    data,
    rows: [float, ...rows],
    ...(within === undefined ? {} : { within }),
  } as unknown as ReportDocument;
}

const text = (document: ReportDocument) => summary(document).text.replace(/\s+/g, ' ');

test('a loss within one point counts where two standard errors on top of it do too', () => {
  // 10 broken, 5 repaired of 1,000: 0.5 points with an error of 0.387; of 10,000 with ten times as many: 0.122.
  const few = report(1000, [row('a', 5000, [10, 5], 1000), row('b', 9000, [1, 1], 1000)]);
  assert.equal(chosenRow(few)?.row.name, 'b');
  assert.is(chosenRow(few)?.claim, 'sure');
  assert.match(text(few), /^The smallest form that loses at most one point of accuracy is <strong>b/);
  const many = report(10_000, [row('a', 5000, [100, 50], 10_000), row('b', 9000, [10, 10], 10_000)]);
  assert.is(chosenRow(many)?.row.name, 'a');
  assert.is(chosenRow(many)?.claim, 'sure');
});

test('samples too few to tell are said to be so, and a loss above the threshold is one', () => {
  const few = report(1000, [row('a', 5000, [10, 5], 1000), row('worse', 3000, [90, 0], 1000)]);
  assert.is(chosenRow(few)?.claim, 'measured');
  assert.match(
    text(few),
    /^No form is known to lose at most one point of accuracy: 1,000 samples are too few to tell\. .*<strong>a</,
  );
  const none = report(1000, [row('a', 5000, [40, 5], 1000), row('worse', 3000, [90, 0], 1000)]);
  assert.is(chosenRow(none)?.claim, 'more');
  assert.match(
    text(none),
    /^Every form was measured to lose more than one point of accuracy\. The best is <strong>a</,
  );
});

test('the threshold can be set, and is explained', () => {
  const rows = [row('a', 5000, [10, 5], 1000), row('worse', 3000, [40, 0], 1000)];
  const wide = report(1000, rows, 0.06);
  assert.is(chosenRow(wide)?.row.name, 'worse');
  assert.match(text(wide), 'at most 6 points of accuracy');
  assert.match(
    threshold(wide)?.text.replace(/\s+/g, ' ') ?? '',
    /losing at most 6 points where .* two standard errors .*<code>--within<\/code>/,
  );
  assert.is(chosenRow(report(1000, rows, 0))?.claim, 'more');
});

test('where no answer turned, the row says what is known: three over the number of samples', () => {
  const same = row('same', 5000, [0, 0], 200);
  assert.equal(lossBounds(same.classes as never, 200), [-0.015, 0.015]);
  const document = report(200, [same]);
  assert.is(chosenRow(document)?.claim, 'measured');
  assert.match(rowTable(document).text, '0.00, within ±1.50');
  assert.is(chosenRow(report(400, [row('same', 5000, [0, 0], 400)]))?.claim, 'sure');
  assert.match(rowTable(report(200, [row('one', 5000, [1, 0], 200)])).text, '−0.50 ± 0.50');
});

test('how long a report takes: each row is evaluated, and calibrated ones take what one calibration took', () => {
  const work = { evaluation: 1, rounded: 15 };
  assert.is(estimateSeconds(work), 15);
  const calibration = { seconds: 20, rows: 6 };
  // 21 evaluations, 6 calibrations and the sensitivity of each layer.
  assert.is(estimateSeconds({ ...work, calibration }), 21 + 20 * (6 + 3));
  assert.is(estimateSeconds({ ...work, calibration: { ...calibration, seconds: 40 } }), 21 + 40 * (6 + 3));
});

test('legends go from the most bits to the fewest', () => {
  const rows = [3000, 9000, 5000].map((bytes) => row(String(bytes), bytes, [0, 0], 10));
  assert.equal(
    byBits(rows).map(({ name }) => name),
    ['9000', '5000', '3000'],
  );
});

test.run();
