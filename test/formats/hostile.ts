import * as assert from 'uvu/assert';
import { BitnibbleError, type ErrorCode } from '../../src/errors.js';

/** What the readers under test are told the bytes are called; every message must repeat it. */
export const FILE = 'some/file.bin';

/** Longest that any reader may think about a small damaged file, on a slow and busy machine. */
const PATIENCE = 1000;

/** Mulberry32: 32 random bits for each call, the same ones for each seed. */
export function random32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let z = Math.imul(state ^ (state >>> 15), state | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return (z ^ (z >>> 14)) >>> 0;
  };
}

/** The same bytes as a view with a foreign byte before and after, at an odd address. */
export function embedded(bytes: Uint8Array): Uint8Array {
  const around = new Uint8Array(bytes.length + 2).fill(0xa5);
  around.set(bytes, 1);
  return around.subarray(1, bytes.length + 1);
}

export function hex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'));
}

export function concat(...pieces: (Uint8Array | string | readonly number[])[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(pieces.map((piece) => Buffer.from(piece as Uint8Array))));
}

/** Asserts that `run` throws a BitnibbleError of a code whose message names {@link FILE} and matches. */
export function refuses(run: () => unknown, code: ErrorCode, message: RegExp = /./): void {
  const error = outcome(run);
  assert.instance(error, BitnibbleError, `expected a refusal with code ${code}`);
  assert.is((error as BitnibbleError).code, code, (error as Error).message);
  assert.match((error as Error).message, message);
}

/** The coded error that `run` throws, or undefined: any other exception, and slowness, is a failure. */
function outcome(run: () => unknown): BitnibbleError | undefined {
  const start = performance.now();
  try {
    run();
    return undefined;
  } catch (error) {
    if (!(error instanceof BitnibbleError)) throw error;
    assert.ok(error.message.includes(FILE), `"${error.message}" does not name the file`);
    return error;
  } finally {
    const took = performance.now() - start;
    assert.ok(took < PATIENCE, `took ${took.toFixed()} ms`);
  }
}

/** Asserts that each proper prefix of a file is refused. */
export function refusesTruncations(file: Uint8Array, read: (bytes: Uint8Array) => unknown): void {
  for (let length = 0; length < file.length; length++) {
    const error = outcome(() => read(embedded(file.subarray(0, length))));
    assert.ok(error, `the first ${length} of ${file.length} bytes are accepted`);
  }
}

/**
 * Flips one to four bits of a file, `count` times: each time the reader must refuse with a coded error or return
 * something that `check` takes.
 */
export function survivesBitFlips<T>(
  file: Uint8Array,
  read: (bytes: Uint8Array) => T,
  check: (result: T, flips: string) => void,
  { count = 2000, seed = 1 } = {},
): void {
  const next = random32(seed);
  let refused = 0;
  for (let i = 0; i < count; i++) {
    const damaged = file.slice();
    const bits = Array.from({ length: 1 + (i % 4) }, () => next() % (file.length * 8));
    for (const bit of bits) damaged[bit >>> 3]! ^= 1 << (bit & 7);
    let result: T | undefined;
    const error = outcome(() => {
      result = read(embedded(damaged));
    });
    if (error) refused++;
    else check(result as T, `bits ${bits} flipped`);
  }
  assert.ok(refused > 0, 'no flip was noticed: is the reader reading?');
}
