// @ts-check
// A process that runs test files one after the other, so that TensorFlow.js and the kernels are loaded once for many: scripts/test.js.
import { pathToFileURL } from 'node:url';

const shared = /** @type {{ UVU_DEFER?: number, UVU_QUEUE?: unknown[][] }} */ (globalThis);
shared.UVU_DEFER = 1;
const { exec } = await import('uvu');

/** Ends what one file has printed, on both streams. @param {number} status */
function end(status) {
  process.stdout.write(`\n\0${status}\n`);
  process.stderr.write('\n\0\n');
}

let open = false;
process.on('uncaughtException', (error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exit(1);
});
process.on('exit', () => {
  if (open) end(process.exitCode === undefined ? 1 : Number(process.exitCode) || 1);
});

process.on('message', async (/** @type {string} */ file) => {
  open = true;
  process.exitCode = 0;
  shared.UVU_QUEUE?.splice(0, Number.POSITIVE_INFINITY, [null]);
  await import(pathToFileURL(file).href);
  await exec();
  open = false;
  end(Number(process.exitCode));
});
process.on('disconnect', () => process.exit());
