// A bounded run of `npm run fuzz`: damaged files end in coded errors or valid models, soon and in little memory.
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { root, run } from '../support/needs.js';

test('thousands of damaged files: a code or a valid model each', async () => {
  const script = path.join(root, 'scripts', 'fuzz.ts');
  const args = ['--import', 'tsx', script, '--mutations', '6000', '--share', '0.1', '--seconds', '150'];
  const { status, output } = await run(process.execPath, args, { timeout: 200_000 });
  assert.is(status, 0, output);
  const cases = Number(/^(\d+) of \d+ cases/m.exec(output)?.[1]);
  assert.ok(cases >= 2000, output);
  let mutated = 0;
  for (const kind of ['h5', 'zip', 'safetensors']) {
    for (const how of ['truncated', 'mutated']) {
      const count = Number(new RegExp(`\\b(\\d+) ${kind} ${how}\\b`).exec(output)?.[1]);
      assert.ok(count >= 500, output);
      if (how === 'mutated') mutated += count;
    }
  }
  for (const kind of ['crafted h5', 'packed fields', 'servers', 'data files', 'recipes']) {
    const count = Number(new RegExp(`^(\\d+) ${kind}: at most \\d+ ms`, 'm').exec(output)?.[1]);
    assert.ok(count >= 10, `${kind}: ${output}`);
  }
  const valid = Number(/^ {2}valid: (\d+)$/m.exec(output)?.[1]);
  // A file that is cut is never whole; of those with changed bytes some still make sense.
  assert.ok(valid >= mutated / 50, output);
});

test.run();
