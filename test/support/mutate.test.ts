// The faults that `npm run mutate` puts into a source: what they are, and that without one active nothing changes.
import { transformSync } from 'esbuild';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { instrument } from '../../scripts/lib/mutate-mutants.js';
import { regexMutants } from '../../scripts/lib/mutate-regex.js';

const SOURCE = `
/** A comment before, with a < b in it. */
import type { Some } from './some.js';
export interface Shape { readonly n: 1 | 2; readonly kind: 'a' }
export function find(values: readonly number[], least = 2, deep?: { at?: readonly number[] }): string {
  if (!Array.isArray(values)) throw new TypeError('expected "values", a list');
  let count = 0;
  for (const value of values) {
    if (value < least) continue;
    count += value * 2;
    if (count > 100 && value !== 7) {
      count++;
      break;
    }
  }
  const name = deep?.at?.slice(1).length ?? values.slice(1).length;
  return /^1+$/.test(String(count)) ? 'none' : \`n\${count}-\${name}\`;
}
`;

interface Made {
  find(values: readonly number[], least?: number, deep?: { at?: readonly number[] }): string;
}

const { mutants, code } = instrument(SOURCE, 'some.ts', 100);
let made = 0;

/** The module with one mutant active. */
async function moduleWith(active: number): Promise<Made> {
  let hits = 0;
  Object.assign(globalThis, {
    $mutant: (id: number) => {
      if (++hits > 10_000) throw new Error('endless');
      return id === active;
    },
  });
  const { code: js } = transformSync(code, { loader: 'ts', format: 'esm', target: 'node20' });
  return (await import(`data:text/javascript,${encodeURIComponent(js)}//${made++}`)) as Made;
}

const CALLS: readonly ((made: Made) => string)[] = [
  ({ find }) => find([1, 2, 3]),
  ({ find }) => find([5, 1, 60, 7, 80], 1),
  ({ find }) => find([2], 2, { at: [1, 2, 3] }),
  ({ find }) => find([1, 46, 4, 7, 3], 3, {}),
  ({ find }) => find([50, 60, 8]),
  ({ find }) => find([55, 7], 8),
  ({ find }) => find([2, 105], 3),
  ({ find }) => find([30, 25.5, 9], 0),
  ({ find }) => find([60.5], 0),
  ({ find }) => find([5.5], 0),
  ({ find }) => find([50.5, 8], 0),
  ({ find }) => find('text' as never),
];

const outcome = (made: Made): string =>
  CALLS.map((call) => {
    try {
      return call(made);
    } catch (error) {
      return (error as Error).message;
    }
  }).join();

const changes = mutants.map(({ start, end, replacement }) =>
  `${SOURCE.slice(start, end)} -> ${replacement}`.replace(/\s+/g, ' '),
);

test('without an active mutant the module does what it did', async () => {
  assert.is(
    outcome(await moduleWith(-1)),
    'n10-2,n133-4,n4-2,n121-4,n221-2,none,n211-1,n112-2,n122-0,none,n102-1,expected "values", a list',
  );
});

test('boundaries, negations, arithmetic, constants, statements, calls and regular expressions', () => {
  for (const change of [
    ...['value < least -> value <= least', 'value < least -> value >= least', 'value < least -> false'],
    ...['!Array.isArray(values) -> Array.isArray(values)', 'value * 2 -> value / 2', '2 -> 3', '0 -> 1'],
    ...[
      'count += value * 2 -> count -= value * 2',
      'values.slice(1) -> values',
      'break; -> ;',
      'count++; -> ;',
    ],
    ...['count > 100 && value !== 7 -> count > 100', 'count > 100 && value !== 7 -> value !== 7'],
    ...['value !== 7 -> value === 7', "'none' -> ''", '/^1+$/ -> /1+$/', '/^1+$/ -> /^1*$/'],
  ])
    assert.ok(changes.includes(change), `${change}\n${changes.join('\n')}`);
});

test('types, names, messages, comments and links of optional chains are left alone', () => {
  for (const change of changes) {
    assert.not.match(change, /^'a' ->|^1 \| 2|expected "values"|comment/);
    assert.not.match(change, /^deep\?\.at\?\.slice\(1\) ->/);
  }
});

test('every mutant of the example changes what it does, and no other', async () => {
  const plain = outcome(await moduleWith(-1));
  const alike: string[] = [];
  for (const [i] of mutants.entries())
    if (outcome(await moduleWith(100 + i)) === plain) alike.push(changes[i] as string);
  // A number is never written with no digit: an equivalent mutant.
  assert.equal(alike, ['/^1+$/ -> /^1*$/']);
  assert.is(outcome(await moduleWith(99)), plain);
  assert.is(outcome(await moduleWith(100 + mutants.length)), plain);
});

test('only the lines that are wanted', () => {
  const some = instrument(SOURCE, 'some.ts', 0, (line) => line === 10);
  assert.ok(some.mutants.length > 0 && some.mutants.length < mutants.length);
  for (const { start } of some.mutants) assert.is(SOURCE.slice(0, start).split('\n').length, 10);
});

test('regular expressions: without an anchor, a quantifier, an alternative, a letter of a class', () => {
  assert.equal(regexMutants('/^(a|bc)[^xy]\\$$/i'), [
    '/(a|bc)[^xy]\\$$/i',
    '/^(a|bc)[xy]\\$$/i',
    '/^(a|bc)[^y]\\$$/i',
    '/^(a|bc)[^x]\\$$/i',
    '/^(a|bc)[^xy]\\$/i',
    '/^(bc)[^xy]\\$$/i',
    '/^(a)[^xy]\\$$/i',
  ]);
  assert.equal(regexMutants('/a?b+[0-9]*/'), ['/ab+[0-9]*/', '/a?b*[0-9]*/', '/a?b+[0-9]+/']);
});

test.run();
