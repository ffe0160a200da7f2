import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { centredDigit, SIDE } from '../../page/src/ink.js';

/** A drawing of 280 x 280 with one black rectangle. */
function rectangle(left: number, top: number, width: number, height: number): Uint8Array {
  const ink = new Uint8Array(280 * 280);
  for (let y = top; y < top + height; y++) ink.fill(255, y * 280 + left, y * 280 + left + width);
  return ink;
}

function momentsOf(digit: Uint8Array) {
  let [mass, x, y] = [0, 0, 0];
  for (const [i, value] of digit.entries()) {
    mass += value;
    x += value * ((i % SIDE) + 0.5);
    y += value * (Math.floor(i / SIDE) + 0.5);
  }
  const rows = [...digit.keys()].filter((i) => (digit[i] as number) > 127).map((i) => Math.floor(i / SIDE));
  return { mass, x: x / mass, y: y / mass, height: Math.max(...rows) - Math.min(...rows) + 1 };
}

test('the longer side fills 20 of 28 pixels and the centre of mass is in the middle, wherever it was drawn', () => {
  for (const [left, top, width, height] of [
    [10, 10, 30, 120],
    [200, 100, 40, 160],
    [0, 0, 280, 280],
    [100, 250, 7, 15],
  ] as const) {
    const digit = centredDigit(rectangle(left, top, width, height), 280);
    assert.ok(digit);
    const { x, y, height: found } = momentsOf(digit);
    assert.is(found, 20);
    assert.ok(Math.abs(x - 14) < 0.1 && Math.abs(y - 14) < 0.1, `${x}, ${y}`);
    assert.is(Math.max(...digit), 255);
  }
});

test('a wide drawing keeps its proportions', () => {
  const digit = centredDigit(rectangle(20, 30, 200, 100), 280) as Uint8Array;
  const { mass, height } = momentsOf(digit);
  assert.is(height, 10);
  assert.ok(Math.abs(mass / 255 - 200) < 1, String(mass / 255));
});

test('an off-centre mass is moved, not the box', () => {
  // An L: its foot is heavier than its middle.
  const ink = rectangle(100, 50, 20, 150);
  for (const [i, value] of rectangle(100, 180, 100, 20).entries()) ink[i] = Math.max(ink[i] as number, value);
  const { x, y } = momentsOf(centredDigit(ink, 280) as Uint8Array);
  assert.ok(Math.abs(x - 14) < 0.1 && Math.abs(y - 14) < 0.1, `${x}, ${y}`);
});

test('an empty drawing is no digit', () => {
  assert.is(centredDigit(new Uint8Array(280 * 280), 280), undefined);
});

test.run();
