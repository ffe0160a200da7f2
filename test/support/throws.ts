// What a call throws, held to its class and its message.
import * as assert from 'uvu/assert';

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
