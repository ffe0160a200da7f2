/** Milliseconds of work between two turns. */
const BEAT = 100;

/** Node.js has the shortest way to let everything else through; elsewhere a timer does. */
const later = (globalThis as { setImmediate?: (done: () => void) => void }).setImmediate;

/**
 * Lets the event loop turn now and then during long work, for signals, messages and timers: `await turn()` often. Promises
 * alone do not do that, where backends compute before they give one.
 */
export function turns(): () => Promise<void> {
  let last = performance.now();
  return async () => {
    if (performance.now() - last < BEAT) return;
    await new Promise<void>((done) => (later ? later(done) : setTimeout(done)));
    last = performance.now();
  };
}
