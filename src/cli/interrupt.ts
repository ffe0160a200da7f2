/** What shells give for a process that Ctrl-C ended. */
const STATUS = 130;

/** Shows the cursor and lets lines wrap, whatever hid or stopped them. */
const RESTORE = '\x1b[?25h\x1b[?7h';

/**
 * Runs work that lets the event loop turn now and then. Ctrl-C ends it with status 130 and gives the terminal back.
 *
 * Work that computes in one go is left to the system instead, which ends it at once and with the same status for the shell: a
 * listener would be heard only when it is over.
 */
export async function interruptible(work: () => Promise<void>): Promise<void> {
  const onInterrupt = () => {
    if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${RESTORE}`);
    // Other listeners, which remove unfinished files, come first.
    setImmediate(() => process.exit(STATUS));
  };
  process.on('SIGINT', onInterrupt);
  try {
    await work();
  } finally {
    process.removeListener('SIGINT', onInterrupt);
  }
}
