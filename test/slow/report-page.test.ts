// The page of a report as markup: nothing of a file becomes markup, nothing is loaded, every part is there or said to be absent.

import { parseHTML } from 'linkedom';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { digits, signed, size } from '../../src/report/format.js';
import { ending, escaped, html, short, visible } from '../../src/report/html.js';
import { renderReport } from '../../src/report/page.js';
import type { ReportDocument } from '../../src/report/types.js';
import { HOSTILE, hostile, smallReport } from '../report/support.js';

const report = await smallReport();
const page = (document: ReportDocument) => parseHTML(renderReport(document)).document;
const headings = (document: Document) => [...document.querySelectorAll('h2')].map((own) => own.textContent);

const ALL = [
  'Accuracy against bytes',
  'Accuracy in each class',
  'What is taken for what',
  'Sensitivity of each layer',
  'What each layer loses',
  'Weights and their levels',
  'Ranges of activations',
  'Time spent',
  'To get it again',
];

/** Elements and attributes that a page of text and figures has no use for. */
function assertHarmless(document: Document): void {
  assert.is(document.querySelectorAll('script, img, iframe, object, embed, link, base, form, a').length, 0);
  assert.is(document.querySelectorAll('style').length, 1);
  for (const element of document.querySelectorAll('*')) {
    for (const { name, value } of element.attributes) {
      assert.not.match(name, /^(on|src|href|xlink|style|action|srcdoc|data$)/i, `${element.tagName} ${name}`);
      if (name !== 'content') assert.not.match(value, /url\(|https?:|javascript:/i);
    }
  }
  const policy = document.querySelector('meta[http-equiv]')?.getAttribute('content') ?? '';
  assert.match(policy, /^default-src 'none'/);
  assert.not.match(document.querySelector('style')?.textContent ?? '', /url\(|@import|https?:/);
}

test('every part is there; figures say what they are', () => {
  const document = page(report);
  assert.equal(headings(document), ALL);
  assertHarmless(document);
  const figures = [...document.querySelectorAll('svg')];
  assert.ok(figures.length > 20);
  for (const figure of figures) {
    assert.is(figure.getAttribute('role'), 'img');
    assert.ok((figure.getAttribute('aria-label') ?? '').length > 20);
    assert.not.match(figure.outerHTML, /NaN|undefined|Infinity|\\u/);
  }
  assert.is(document.title, 'a model.h5: quantization report');
});

test('the numbers of the table are those of the document', () => {
  const rows = [...page(report).querySelectorAll('.scroll table')][0]?.querySelectorAll('tbody tr') ?? [];
  assert.is(rows.length, report.rows.length);
  for (const [i, row] of [...rows].entries()) {
    const { name, bytes, classes, isPareto } = report.rows[i] as ReportDocument['rows'][number];
    const cells = [...row.children].map((cell) => cell.textContent);
    assert.equal(cells.slice(0, 3), [String(i + 1), name, bytes.toLocaleString('en-US')]);
    assert.is(cells[5], (100 * (classes?.top1 ?? 0)).toFixed(2));
    assert.is(row.getAttribute('class') === 'front', isPareto);
  }
});

test('names of a file are text, whatever they hold', () => {
  const document = page(hostile(report));
  assertHarmless(document);
  const plain = page(report);
  const shape = (own: Document) =>
    [...own.querySelectorAll('*')].filter((element) => !element.closest('svg'));
  assert.equal(
    shape(document).map(({ tagName }) => tagName),
    shape(plain).map(({ tagName }) => tagName),
    'the elements are those with harmless names',
  );
  const drawn = new Set([...document.querySelectorAll('svg *')].map(({ tagName }) => tagName.toLowerCase()));
  const known = new Set(['g', 'path', 'rect', 'circle', 'line', 'text', 'tspan', 'title']);
  assert.equal(
    [...drawn].filter((name) => !known.has(name)),
    [],
  );
  const text = document.body.textContent ?? '';
  for (const attack of HOSTILE.slice(0, 4)) assert.ok(text.includes(attack), attack);
  const marks = ['\u202e', '\u0000', '\u001b'];
  assert.not.ok(marks.some((mark) => renderReport(hostile(report)).includes(mark)));
});

test('what does not apply is left out, and the page says why', async () => {
  const regression = page(await smallReport({ classes: 1 }));
  assert.equal(
    headings(regression),
    ALL.filter((own) => !/class|taken/.test(own)).map((own) => own.replace('Accuracy', 'Closeness')),
  );
  assert.match(regression.querySelector('.left')?.textContent ?? '', /the output is one number/);
  assert.match(regression.querySelector('.summary')?.textContent ?? '', /^Closest to the float model/);
  const bare = page(await smallReport({ isCalibrated: false }));
  assert.equal(
    headings(bare),
    ALL.filter((own) => !/Sensitivity|Ranges/.test(own)),
  );
  assert.match(bare.querySelector('.left')?.textContent ?? '', /no samples to calibrate with/);
});

test('many classes and many layers', async () => {
  const many = await smallReport({ classes: 45, layers: 26 });
  const document = page(many);
  assertHarmless(document);
  const text = document.body.textContent ?? '';
  assert.match(text, /40 of 45 classes are drawn/);
  assert.match(text, /a model of 45 classes has no matrix here/);
  assert.match(text, /3 more kernels/);
});

test('numbers that are not finite', () => {
  const broken: ReportDocument = {
    ...report,
    rows: report.rows.map((row) =>
      row.kind === 'float' || !row.classes
        ? row
        : {
            ...row,
            divergence: null,
            classes: {
              ...row.classes,
              loss: null,
              moved: [
                [0, -1, 3],
                [0, 0, -3],
              ],
            },
          },
    ),
    ...(report.calibration
      ? {
          calibration: {
            ...report.calibration,
            sensitivity: report.calibration.sensitivity.map((row, i) => ({
              ...row,
              divergence: i % 2 === 0 ? null : 0,
            })),
          },
        }
      : {}),
  };
  const document = page(broken);
  for (const figure of document.querySelectorAll('svg')) assert.not.match(figure.outerHTML, /NaN|Infinity/);
  assert.equal(headings(document), ALL);
});

test('text: escapes, ends and signs', () => {
  assert.is(escaped(`<a b="c">'&`), '&lt;a b=&quot;c&quot;&gt;&#39;&amp;');
  assert.is(visible('a\u0000\u202eb\u{e0001}'), 'a\\u0000\\u202eb\\ue0001');
  assert.is(html`<p>${['<', html`<b>${'&'}</b>`, undefined, false, 0]}</p>`.text, '<p>&lt;<b>&amp;</b>0</p>');
  assert.equal([short('abcdef', 4), short('abcd', 4), ending('abcdef', 4)], ['abc…', 'abcd', '…def']);
  assert.equal([signed(-1.25, 1), signed(0.04, 1), signed(2, 0)], ['\u22121.3', '0.0', '+2']);
  assert.equal(
    [digits(null), digits(0), digits(0.00012345), digits(12.3456), digits(-2e6)],
    ['–', '0', '1.2e\u22124', '12.3', '\u22122.0e6'],
  );
  assert.equal(
    [size(999), size(22_890), size(1_400_000), size(583_000)],
    ['999 bytes', '23 kB', '1.4 MB', '583 kB'],
  );
});

test.run();
