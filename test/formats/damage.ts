import { BitnibbleError, type ErrorCode } from '../../src/errors.js';
import * as assert from 'uvu/assert';

/** Asserts that a function throws a BitnibbleError of one code whose message contains all the texts. */
export function throwsCode(body: () => unknown, code: ErrorCode, ...texts: string[]): void {
  try {
    body();
  } catch (error) {
    assert.instance(error, BitnibbleError);
    const { code: got, message } = error as BitnibbleError;
    assert.is(got, code, `expected code ${code}, got ${got}: ${message}`);
    for (const text of texts) {
      assert.ok(message.includes(text), `expected ${JSON.stringify(text)} in ${JSON.stringify(message)}`);
    }
    return;
  }
  assert.unreachable(`expected an error of code ${code}`);
}

/** xorshift32: the same numbers on every run. */
export function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/** Every proper prefix has to be refused with a coded error. */
export function refusesTruncations(bytes: Uint8Array, read: (bytes: Uint8Array) => unknown): void {
  for (let length = 0; length < bytes.length; length++) {
    assert.throws(
      () => read(bytes.slice(0, length)),
      (error: Error) => error instanceof BitnibbleError,
      `the first ${length} of ${bytes.length} bytes were taken`,
    );
  }
}

/**
 * Flips 1 to 3 bits, `rounds` times: the outcome has to be a coded error or a result that `isValid`.
 *
 * @returns how many were refused
 */
export function survivesBitFlips<T>(
  bytes: Uint8Array,
  rounds: number,
  read: (bytes: Uint8Array) => T,
  isValid: (result: T) => boolean,
): number {
  const next = random(0x2545f491);
  let refused = 0;
  for (let round = 0; round < rounds; round++) {
    const damaged = bytes.slice();
    for (let flip = next(3); flip >= 0; flip--) {
      const at = next(damaged.length);
      damaged[at] = damaged[at]! ^ (1 << next(8));
    }
    try {
      assert.ok(isValid(read(damaged)), `round ${round} gave an invalid result`);
    } catch (error) {
      if (!(error instanceof BitnibbleError)) {
        throw error;
      }
      refused++;
    }
  }
  return refused;
}
