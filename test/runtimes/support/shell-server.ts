import { spawn } from 'node:child_process';
import { createServer } from 'node:net';

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address ? address.port : 0;
}

type Ask = (body: Uint8Array<ArrayBuffer>) => Promise<Response>;

/** Runs a server that takes its port as the last argument, hands `work` a way to ask it, and ends it. */
export async function startServer(
  binary: string,
  args: readonly string[],
  cwd: string,
  work: (ask: Ask) => Promise<void>,
): Promise<void> {
  const port = await freePort();
  await withServer([binary, ...args, String(port)], { cwd }, port, () =>
    work((body) =>
      fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body, signal: AbortSignal.timeout(20_000) }),
    ),
  );
}

/** Runs a server and, once it answers on its port, `work`; then ends it with all that it started. */
export async function withServer(
  [binary, ...args]: readonly [string, ...string[]],
  options: { readonly cwd: string; readonly env?: NodeJS.ProcessEnv },
  port: number,
  work: () => Promise<void>,
): Promise<void> {
  const child = spawn(binary, args, { ...options, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  let fault: Error | undefined;
  child.on('error', (error) => {
    fault = error;
  });
  const ended = new Promise((resolve) => child.once('close', resolve));
  try {
    // It listens once the model is open.
    for (let tries = 0; ; tries++) {
      try {
        await fetch(`http://127.0.0.1:${port}/`, {
          ...{ method: 'POST', body: new Uint8Array(1) },
          signal: AbortSignal.timeout(20_000),
        });
        break;
      } catch (error) {
        if (fault || child.exitCode !== null || tries > 600)
          throw new Error(`${binary} does not answer:\n${output}`, { cause: fault ?? error });
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
    await work();
  } finally {
    if (child.pid !== undefined) {
      // The whole group: what it started would go on.
      try {
        process.kill(-child.pid, 'SIGKILL');
      } catch {
        // It has ended already.
      }
      await ended;
    }
  }
}
