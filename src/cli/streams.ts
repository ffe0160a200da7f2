// What becomes of the process where its standard streams end or fail.

/** 128 and the number of SIGPIPE: what a shell shows of a program that wrote to a pipe that nobody reads any more. */
const BROKEN_PIPE = 141;

const REASONS: Readonly<Record<string, string>> = {
  ENOSPC: 'no space is left on the device',
  EDQUOT: 'the quota of the user is used up',
  EIO: 'the device failed',
};

/**
 * Ends the process quietly where the reader of standard output is gone (`bitnibble inspect model.h5 | head`), and with status 1 and a
 * message where standard output cannot be written. Files are in place before anything is printed about them, and what
 * is not in place is removed on exit.
 */
export function watchStreams(say: (message: string) => void): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(BROKEN_PIPE);
    say(`standard output cannot be written: ${REASONS[error.code ?? ''] ?? error.message}`);
    process.exit(1);
  });
  // There is nowhere left to say so; remarks are no part of the result.
  process.stderr.on('error', () => undefined);
}

/** Whether an error is the system's own, whose message says all that its stack would. */
export function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  const { code, syscall } = (error ?? {}) as NodeJS.ErrnoException;
  return error instanceof Error && typeof code === 'string' && typeof syscall === 'string';
}
