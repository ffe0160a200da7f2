import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { checkJsonSize, JSON_LIMIT, parseJson } from '../../src/formats/json.js';
import { throwsCode } from './damage.js';

test('any JSON is read as JSON.parse reads it', () => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 6 }), (text) => assert.equal(parseJson(text, 'x'), JSON.parse(text))),
    { numRuns: 300 },
  );
});

test("Python's constants stand for themselves, and are text in strings", () => {
  const text = '{"NaN": NaN, "a\\\\": [Infinity, -Infinity, "NaN, \\"Infinity"], "b": "\\\\\\\\", "c": NaN}';
  assert.equal(parseJson(text, 'x'), {
    NaN: null,
    'a\\': [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 'NaN, "Infinity'],
    b: '\\\\',
    c: null,
  });
  for (const wrong of ['NaNa', '{"a": nan}', 'Inf', '"NaN', '[NaN', '\\NaN'])
    throwsCode(() => parseJson(wrong, 'a.json'), 'corrupt-file', 'a.json: not JSON');
});

test('names of Object.prototype are keys', () => {
  const parsed = parseJson('{"__proto__": {"a": 1}, "constructor": 2}', 'x') as Record<string, unknown>;
  assert.equal(Object.keys(parsed), ['__proto__', 'constructor']);
  assert.is(({} as Record<string, unknown>).a, undefined);
});

const nested = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`;
const list = (length: number) => `[${Array.from({ length }, () => '0').join()}]`;

test('length, depth and number of values end where they should', () => {
  checkJsonSize(nested(500), 'x');
  throwsCode(() => checkJsonSize(nested(501), 'deep.json'), 'corrupt-file', 'deep.json', 'nested');
  checkJsonSize(`{"a": "${'['.repeat(10_000)}", "b": ${nested(400)}, "c": ${nested(400)}}`, 'x');
  checkJsonSize(list(2 ** 20), 'x');
  throwsCode(() => checkJsonSize(list(2 ** 20 + 1), 'wide.json'), 'corrupt-file', 'wide.json', 'values');
  const long = (length: number) => `"${'x'.repeat(length - 2)}"`;
  assert.is((parseJson(long(JSON_LIMIT), 'x') as string).length, JSON_LIMIT - 2);
  throwsCode(() => parseJson(long(JSON_LIMIT + 1), 'long.json'), 'too-large', 'long.json', `${JSON_LIMIT}`);
  checkJsonSize(long(JSON_LIMIT + 1), 'x', JSON_LIMIT + 1);
});

test.run();
