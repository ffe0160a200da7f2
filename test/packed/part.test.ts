// Parts of a job that several machines share: what they say of themselves, and which of them belong together.
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { BitnibbleError } from '../../src/errors.js';
import { readSafetensorsHeader, writeSafetensors } from '../../src/formats/safetensors.js';
import {
  dealtOut,
  layoutPart,
  orderParts,
  type PartInfo,
  RESULT,
  readPart,
  stretchesOf,
} from '../../src/packed/part.js';
import { partText } from '../../src/packed/part-number.js';

function refused(work: () => unknown, code: string, text: string): void {
  try {
    work();
  } catch (error) {
    assert.is((error as BitnibbleError).code, code, String(error));
    assert.match((error as Error).message, text);
    return;
  }
  assert.unreachable(`not refused: ${text}`);
}

test('stretches are contiguous, in order, and about as large as each other', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 1000 }), { maxLength: 60 }),
      fc.integer({ min: 1, max: 20 }),
      (sizes, parts) => {
        const own = stretchesOf(sizes, parts);
        assert.is(own.length, sizes.length);
        assert.equal(
          own,
          [...own].sort((a, b) => a - b),
        );
        assert.ok(own.every((part) => part >= 1 && part <= parts));
        const total = sizes.reduce((a, b) => a + b, 0);
        for (let part = 1; part <= parts; part++) {
          const inside = sizes.filter((_, i) => own[i] === part).reduce((a, b) => a + b, 0);
          assert.ok(inside <= total / parts + Math.max(0, ...sizes), `${inside} of ${total} in ${parts}`);
        }
      },
    ),
  );
  assert.equal(stretchesOf([1, 1, 1, 1], 2), [1, 1, 2, 2]);
  assert.equal(stretchesOf([0, 0], 3), [1, 1]);
});

test('work is dealt out: the longest first, to whoever has least', () => {
  const cost = fc.oneof(fc.integer({ min: 0, max: 1000 }), fc.double({ min: 0, max: 9, noNaN: true }));
  fc.assert(
    fc.property(fc.array(cost, { maxLength: 40 }), fc.integer({ min: 1, max: 12 }), (costs, parts) => {
      const own = dealtOut(costs, parts);
      assert.is(own.length, costs.length);
      assert.ok(own.every((part) => Number.isInteger(part) && part >= 1 && part <= parts));
      const loads = Array.from({ length: parts }, (_, i) =>
        costs.reduce((sum, each, at) => sum + (own[at] === i + 1 ? each : 0), 0),
      );
      // Graham 1966: whoever takes the last piece of the longest part had least before it.
      const [total, longest] = [costs.reduce((a, b) => a + b, 0), Math.max(0, ...costs)];
      assert.ok(Math.max(...loads) <= total / parts + (1 - 1 / parts) * longest + 1e-9);
      assert.equal(dealtOut(costs, parts), own);
    }),
  );
  assert.equal(dealtOut([1, 5, 1, 4, 1], 2), [2, 1, 1, 2, 2]);
  assert.equal(dealtOut([3, 3, 3], 2), [1, 2, 1]);
  assert.equal(dealtOut([], 3), []);
});

const info = (part: number, parts: number, run: object = { version: '1' }): PartInfo => ({
  ...{ command: 'quantize', part, parts, run: run as PartInfo['run'], result: { rows: [1] } },
});

function bytesOf(own: PartInfo, room = 100): Uint8Array {
  const { head, size, places } = layoutPart(own, [], room);
  const bytes = new Uint8Array(size).fill(0x20);
  bytes.set(head);
  bytes.set(new TextEncoder().encode(JSON.stringify(own.result)), places.get(RESULT));
  return bytes;
}

function reread(bytes: Uint8Array): PartInfo {
  const header = readSafetensorsHeader(bytes, 'p');
  return readPart(
    header,
    ({ start, end }) => bytes.subarray(header.dataStart + start, header.dataStart + end),
    'p',
  );
}

test('a part says of which run it is, and what came out of it', () => {
  assert.equal(reread(bytesOf(info(2, 4))), info(2, 4));
  const written = (metadata: Record<string, string>, result = '{}') =>
    Buffer.concat([
      ...writeSafetensors(
        [
          {
            name: RESULT,
            dtype: 'U8',
            shape: [result.length],
            bytes: () => new TextEncoder().encode(result),
          },
        ],
        Object.entries(metadata),
      ),
    ]);
  const right = {
    format: 'bitnibble-part',
    format_version: '1',
    command: 'quantize',
    part: '1/2',
    run: '{}',
  };
  assert.is(reread(written(right)).parts, 2);
  const { command: _, ...without } = right;
  for (const [metadata, code, text] of [
    [{ ...right, format: 'bitnibble' }, 'unknown-format', 'expected a part that --shard wrote'],
    [{ ...right, format_version: '2' }, 'unsupported-version', 'expected parts of version 1, got 2'],
    [without, 'corrupt-file', 'no command in the metadata'],
    [{ ...right, part: '3/2' }, 'corrupt-file', 'its number is none'],
    [{ ...right, part: '0/2' }, 'corrupt-file', 'its number is none'],
    [{ ...right, part: '1/99999' }, 'corrupt-file', 'its number is none'],
    [{ ...right, part: 'x' }, 'corrupt-file', 'its number is none'],
    [{ ...right, run: '[]' }, 'corrupt-file', 'run is not an object'],
    [{ ...right, run: '{' }, 'corrupt-file', 'not JSON'],
  ] as const)
    refused(() => reread(written(metadata)), code, text);
  refused(() => reread(written(right, '{')), 'corrupt-file', 'p: result: not JSON');
  refused(() => reread(written(right, ' '.repeat(3 * 2 ** 23 + 1))), 'too-large', 'a result of');
  const none = Buffer.concat([...writeSafetensors([], Object.entries(right))]);
  refused(() => reread(none), 'corrupt-file', 'it has no result');
});

test('parts are put in order; what is missing, doubled or of another run is named', () => {
  const named = (...parts: PartInfo[]) => parts.map((own, i) => ({ name: `${i}.part`, info: own }));
  assert.equal(
    orderParts(named(info(3, 3), info(1, 3), info(2, 3))).map((own) => own.name),
    ['1.part', '2.part', '0.part'],
  );
  const wrong = (text: string, ...parts: PartInfo[]) =>
    refused(() => orderParts(named(...parts)), 'part-mismatch', text);
  wrong('expected parts to merge, got none');
  wrong('parts are missing: 2/3', info(1, 3), info(3, 3));
  wrong('parts are missing: 2/99, 3/99', info(1, 99));
  wrong('20/99, 21/99 and 78 more', info(1, 99));
  wrong('1.part: part 2/3 again, as 0.part', info(2, 3), info(2, 3));
  wrong('1.part: a part of another run than 0.part: its number of parts is 2, not 3', info(1, 3), info(2, 2));
  wrong('its version is "2", not "1"', info(1, 2), info(2, 2, { version: '2' }));
  wrong('its more is 1, not undefined', info(1, 2), info(2, 2, { version: '1', more: 1 }));
  wrong('its version is undefined, not "1"', info(1, 2), info(2, 2, {}));
  wrong('its command is "compare", not "quantize"', info(1, 2), { ...info(2, 2), command: 'compare' });
  assert.is(partText(info(2, 4)), '2/4');
});

test.run();
