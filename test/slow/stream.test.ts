// Decoding while the bytes arrive takes the memory of what comes out, and little more.
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { root, run } from '../support/needs.js';

async function measure(mode: 'keep' | 'reuse'): Promise<{ most: number; output: number; kept: number }> {
  const script = path.join(root, 'test/support/stream-memory.ts');
  const args = ['--import', import.meta.resolve('tsx'), script, mode];
  const { status, stdout, output } = await run(process.execPath, args, { timeout: 120_000 });
  assert.is(status, 0, output);
  return JSON.parse(stdout);
}

test('all weights kept: their size', async () => {
  const { most, output, kept } = await measure('keep');
  assert.is(output, 256);
  assert.is(kept, 16);
  process.stdout.write(`\nRAN: ${output} MiB of weights streamed and kept in ${most.toFixed(0)} MiB\n`);
  assert.ok(most < 1.3 * output, `${most.toFixed(0)} MiB for ${output}`);
});

test('one memory for all weights: a fraction of it', async () => {
  const { most, output } = await measure('reuse');
  process.stdout.write(
    `\nRAN: ${output} MiB of weights streamed through one buffer in ${most.toFixed(0)} MiB more\n`,
  );
  assert.ok(most < 0.3 * output, `${most.toFixed(0)} MiB for ${output}`);
});

test.run();
