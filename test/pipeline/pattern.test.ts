// Patterns of recipes mean what RegExp means, and take time in proportion to the name.
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { matcher } from '../../src/pipeline/pattern.js';
import { decide, parseRecipe } from '../../src/pipeline/recipe.js';
import { regularSearch } from '../../src/pipeline/regular.js';
import { throws } from '../support/throws.js';

const name = fc.string({
  unit: fc.constantFrom('a', 'b', 'c', 'A', '_', '1', '/', '\n', ' '),
  maxLength: 12,
});

test('globs match what the same regular expression matches', () => {
  const glob = fc.string({ unit: fc.constantFrom('a', 'b', '*', '?', '.', '/'), maxLength: 8 });
  fc.assert(
    fc.property(glob, name, (pattern, text) => {
      if (/^\/.+\/[imsu]*$/.test(pattern)) return;
      const source = pattern.replace(/\./g, '\\.').replace(/\*/g, '.*').replace(/\?/g, '.');
      assert.is(matcher(pattern)(text), new RegExp(`^${source}$`, 's').test(text), `${pattern} on ${text}`);
    }),
    { numRuns: 2000 },
  );
});

test('regular expressions match what RegExp matches', () => {
  const atom = fc.constantFrom(
    ...[
      'a',
      'b',
      'A',
      '.',
      '^',
      '$',
      '\\b',
      '\\B',
      '\\w',
      '\\W',
      '\\d',
      '\\s',
      '\\S',
      '[ab]',
      '[^a-c]',
      '[\\w/]',
    ],
    ...['\\/', '\\x61', '\\u0041', '_', '[A-b]', '\\n', '[\\b1-]', '[^\\d]'],
  );
  const quantifier = fc.constantFrom('', '', '', '*', '+', '?', '{2}', '{1,}', '{0,2}', '*?', '+?', '{1,3}?');
  const { expression } = fc.letrec<{ expression: string; item: string; row: string }>((tie) => ({
    item: fc.oneof(
      {
        weight: 4,
        arbitrary: fc.tuple(atom, quantifier).map(([a, q]) => (/^(\^|\$|\\b|\\B)$/.test(a) ? a : a + q)),
      },
      fc
        .tuple(fc.constantFrom('(', '(?:', '(?<n>'), tie('expression'), quantifier)
        .map(([open, inner, q]) => `${open}${inner})${q}`),
    ),
    row: fc.array(tie('item'), { maxLength: 4 }).map((items) => items.join('')),
    expression: fc.array(tie('row'), { minLength: 1, maxLength: 3 }).map((rows) => rows.join('|')),
  }));
  const flags = fc.constantFrom('', 'i', 'm', 's', 'im', 'u', 'iu');
  let compared = 0;
  fc.assert(
    fc.property(expression, flags, name, (source, flag, text) => {
      let wanted: boolean;
      try {
        wanted = new RegExp(source, flag).test(text);
      } catch {
        return; // two groups of one name
      }
      compared++;
      assert.is(regularSearch(source, flag)(text), wanted, `/${source}/${flag} on ${JSON.stringify(text)}`);
    }),
    { numRuns: 4000, seed: 7 },
  );
  assert.ok(compared > 2000);
});

test('letters beyond ASCII, with and without case', () => {
  for (const [source, flags, text] of [
    ['É', 'i', 'é'],
    ['σ', 'i', 'ς'],
    ['s', 'i', 'ſ'],
    ['k', 'i', '\u212a'],
    ['^.$', '', '😀'],
    ['^.$', 'u', '😀'],
    ['[à-ý]', 'i', 'É'],
    ['ß', 'i', 'SS'],
  ] as const)
    assert.is(
      regularSearch(source, flags)(text),
      new RegExp(source, flags).test(text),
      `/${source}/${flags}`,
    );
});

test('what has no bound of time is refused by name', () => {
  for (const [source, what] of [
    ['(a)\\1', /reference to a group/],
    ['(?<n>a)\\k<n>', /reference to a group/],
    ['a(?=b)', /look at what is beside/],
    ['(?<!b)a', /look at what is beside/],
    ['(a{1,60}){1,60}', /more than 2000 states/],
    ['\\p{L}', /escape/],
  ] as const)
    assert.throws(() => matcher(`/${source}/u`), what);
  throws(() => matcher('/(a/'), SyntaxError);
  assert.throws(() => matcher('*'.repeat(2000)), /a pattern of 2000 characters/);
  assert.throws(() => parseRecipe({ rules: [{ layer: '/a(?=b)/', keep: true }] }), /rule 1: a look/);
});

test('patterns that take RegExp for ever take milliseconds', () => {
  const long = 'a'.repeat(4000);
  const start = performance.now();
  for (const pattern of [
    '*a*a*b',
    '*conv*bn*',
    '*a*a*a*a*a*a*a*?b',
    '/(a+)+b/',
    '/(a*)*(a|a)*b$/',
    '/a?a?a?a?a?b/',
  ])
    assert.not.ok(matcher(pattern)(long), pattern);
  assert.ok(performance.now() - start < 1000);
});

test('what is nothing takes no time however often it is repeated', () => {
  const start = performance.now();
  for (const [source, text] of [
    ['((){100000}){100000}', 'a'],
    ['^(a{0}){1000000000}$', ''],
    ['^((){1000000,}b){2}$', 'bb'],
    ['^((){9}a){3}$', 'aaa'],
  ] as const)
    assert.ok(matcher(`/${source}/`)(text), source);
  assert.not.ok(matcher('/^((){9}a){3}$/')('aa'));
  assert.ok(performance.now() - start < 1000);
});

test('numbers of repetitions may be written with as many digits as one likes', () => {
  const source = `^a{${'0'.repeat(30)}2}$`;
  for (const text of ['a', 'aa', source.slice(1, -1)])
    assert.is(matcher(`/${source}/`)(text), new RegExp(source).test(text), text);
  throws(() => matcher(`/a{${'9'.repeat(30)}}/`), RangeError);
});

test('a recipe whose patterns take too long on the names of a model ends in an error', () => {
  const rules = Array.from({ length: 100 }, () => ({
    layer: `/(${'a?'.repeat(400)})+b/`,
    keep: true as const,
  }));
  const weights = Array.from({ length: 1000 }, (_, i) => ({
    ...{
      id: `${'a'.repeat(900)}${i}/kernel`,
      layer: `${'a'.repeat(900)}${i}`,
      className: 'Dense',
      name: 'kernel',
    },
    ...{ shape: [2, 2], dtype: 'F32' as const },
  }));
  const start = performance.now();
  assert.throws(() => decide(parseRecipe({ rules }), weights, 'm.h5'), /take too long on the names of m\.h5/);
  assert.ok(performance.now() - start < 4000);
  const many = Array.from({ length: 1001 }, () => ({ layer: '*', keep: true }));
  assert.throws(() => parseRecipe({ rules: many }), /at most 1000 rules, got 1001/);
});

test.run();
