// What a call throws, held to its class and its message.
import * as assert from 'uvu/assert';
import { BitnibbleError } from '../../src/errors.js';

/**
 * The call throws an error of a class with a text in its message, or a message that a pattern fits. uvu's own `throws` holds
 * neither a text, which it takes for the message of its own failure, nor a class, which it calls: `RangeError(error)` is true.
 */
export function throws(
  run: () => unknown,
  type: new (...args: never[]) => Error,
  message: string | RegExp = '',
): void {
  assert.throws(run, (error: unknown) => {
    assert.instance(error, type);
    assert.match((error as Error).message, message);
    return true;
  });
}

/**
 * A promise, or a call, ends in an error of a kind, with every text in its message. The kind is a code of BitnibbleError, or else the
 * name of an error's class.
 */
export async function rejects(
  work: Promise<unknown> | (() => unknown),
  kind: string,
  ...texts: (string | RegExp)[]
): Promise<void> {
  let error: unknown;
  try {
    await (typeof work === 'function' ? work() : work);
  } catch (thrown) {
    error = thrown;
  }
  assert.instance(error, Error, `nothing was thrown, expected ${kind}`);
  const { name, message } = error as Error;
  assert.is(error instanceof BitnibbleError ? error.code : name, kind, message);
  for (const text of texts) assert.match(message, text);
}
