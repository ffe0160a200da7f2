import { spawn } from 'node:child_process';
import { createServer } from 'node:net';

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address ? address.port : 0;
}

/** Runs a server that takes its port as the last argument, hands `work` a way to ask it, and ends it. */
export async function startServer(
  binary: string,
  args: readonly string[],
  cwd: string,
  work: (ask: (body: Uint8Array<ArrayBuffer>) => Promise<Response>) => Promise<void>,
): Promise<void> {
  const port = await freePort();
  const child = spawn(binary, [...args, String(port)], { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  const ask = (body: Uint8Array<ArrayBuffer>) =>
    fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body, signal: AbortSignal.timeout(20_000) });
  try {
    // It listens once the model is open.
    for (let tries = 0; ; tries++) {
      try {
        await ask(new Uint8Array(1));
        break;
      } catch (error) {
        if (child.exitCode !== null || tries > 200)
          throw new Error(`${binary} does not answer:\n${output}`, { cause: error });
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
    await work(ask);
  } finally {
    const ended = new Promise((resolve) => child.once('close', resolve));
    if (child.exitCode === null) {
      child.kill('SIGKILL');
      await ended;
    }
  }
}
