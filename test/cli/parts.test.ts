// What `merge` takes of a part, and what a part keeps of its command line.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { isIndex, isMeasure, isNumber, isText, maybe, resultOf } from '../../src/cli/part-results.js';
import { wholeCommand } from '../../src/cli/report-parts.js';
import type { BitnibbleError } from '../../src/errors.js';
import type { Json } from '../../src/model.js';
import type { OpenPart } from '../../src/node/parts.js';

const part = (result: unknown): OpenPart => ({
  name: '2.part',
  info: { command: 'report', part: 2, parts: 3, run: {}, result: result as Json },
  header: { metadata: new Map(), tensors: new Map(), dataStart: 0, fileSize: 0 },
  read: () => new Uint8Array(0),
});

const shape = {
  ...{ name: isText, count: isIndex, loss: isMeasure, note: maybe(isText) },
  rows: [{ sizes: [isNumber], inner: maybe({ top1: isNumber }) }],
} as const;

test('a result has every field that its command writes; what is not so is named', () => {
  const right = {
    name: 'a',
    count: 3,
    loss: null,
    rows: [{ sizes: [1, 2] }, { sizes: [], inner: { top1: 1 } }],
  };
  assert.is(resultOf(part(right), shape), right);
  assert.equal(resultOf(part({ ...right, rows: [], note: 'x', more: 1 }), shape), {
    ...right,
    rows: [],
    note: 'x',
    more: 1,
  });
  for (const [wrong, field] of [
    [null, 'result'],
    [[right], 'result'],
    ['text', 'result'],
    [{ ...right, name: 3 }, 'name'],
    [{ ...right, count: -1 }, 'count'],
    [{ ...right, count: 1.5 }, 'count'],
    [{ ...right, loss: 'x' }, 'loss'],
    [{ ...right, note: 3 }, 'note'],
    [{ ...right, rows: { length: 0 } }, 'rows'],
    [{ ...right, rows: [{ sizes: [1] }, null] }, 'rows[1]'],
    [{ ...right, rows: [{ sizes: [1, '2'] }] }, 'rows[0].sizes[1]'],
    [{ ...right, rows: [{ sizes: [1], inner: { top1: null } }] }, 'rows[0].inner'],
    [{ count: 1, loss: 1, rows: [] }, 'name'],
  ] as const) {
    try {
      resultOf(part(wrong), shape);
      assert.unreachable(field);
    } catch (error) {
      assert.is((error as BitnibbleError).code, 'corrupt-file', String(error));
      assert.is((error as Error).message, `2.part: damaged part: its ${field} is none of report`);
    }
  }
});

test('fields that every object has are no fields of a part', () => {
  assert.throws(
    () => resultOf(part({}), { toString: () => true, constructor: isText }),
    /its constructor is none/,
  );
});

test('the command line of a part without what makes it one', () => {
  const own = ['report', 'm.h5', '--data', 'a', 'b', '--seed', '3'];
  for (const more of [
    ['--shard', '2/4', '-o', 'x.part'],
    ['--shard=2/4', '--output=x.part'],
    ['-ox.part', '--shard', '2/4'],
    ['--output', 'x.part', '--shard', '2/4'],
    ['--quiet', '--output', 'x.part', '--json', '--shard', '2/4', '-v', '--verbose'],
  ]) {
    assert.equal(wholeCommand([...own, ...more]), own);
    assert.equal(wholeCommand(['report', ...more, ...own.slice(1)]), own);
  }
});

test.run();
