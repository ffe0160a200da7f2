import * as assert from 'uvu/assert';
import { BitnibbleError, type ErrorCode } from '../../src/errors.js';

/** Milliseconds of processor time that a reader may take for one small damaged file, on a slow machine. */
const PATIENCE = 2000;

/** Bytes from hexadecimal digits; blanks do not count. */
export function hex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'));
}

/** Bytes and texts (as UTF-8) one after another, in memory of their own. */
export function concat(...pieces: (Uint8Array | readonly number[] | string)[]): Uint8Array {
  return Uint8Array.from(
    Buffer.concat(
      pieces.map((piece) => (typeof piece === 'string' ? Buffer.from(piece) : Buffer.from(piece))),
    ),
  );
}

/** The same bytes as a view at an odd address, with foreign bytes around it. */
export function embedded(bytes: Uint8Array): Uint8Array {
  return concat([0xa5], bytes, [0xa5]).subarray(1, bytes.length + 1);
}

/** Asserts that a function throws a BitnibbleError of one code whose message contains all the texts, and soon. */
export function throwsCode(body: () => unknown, code: ErrorCode, ...texts: string[]): void {
  const error = refusal(body);
  assert.ok(error, `expected an error of code ${code}`);
  assert.is(error.code, code, `expected code ${code}, got ${error.code}: ${error.message}`);
  for (const text of texts) {
    assert.ok(
      error.message.includes(text),
      `expected ${JSON.stringify(text)} in ${JSON.stringify(error.message)}`,
    );
  }
}

/** The coded error that a function throws, if any; other exceptions pass through, and slowness is a failure. */
function refusal(body: () => unknown): BitnibbleError | undefined {
  const start = process.cpuUsage();
  try {
    body();
    return undefined;
  } catch (error) {
    if (error instanceof BitnibbleError) return error;
    throw error;
  } finally {
    const { user, system } = process.cpuUsage(start);
    const took = (user + system) / 1000;
    assert.ok(took < PATIENCE, `took ${took.toFixed()} ms`);
  }
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
    const error = refusal(() => read(embedded(bytes.subarray(0, length))));
    assert.ok(error, `the first ${length} of ${bytes.length} bytes were taken`);
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
    const damaged = embedded(bytes);
    for (let flip = next(3); flip >= 0; flip--) {
      const at = next(damaged.length);
      damaged[at] = damaged[at]! ^ (1 << next(8));
    }
    let result: T | undefined;
    const error = refusal(() => {
      result = read(damaged);
    });
    if (error) refused++;
    else assert.ok(isValid(result as T), `round ${round} gave an invalid result`);
  }
  return refused;
}
