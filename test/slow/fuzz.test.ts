// A bounded run of `npm run fuzz`: damaged files end in coded errors or valid models, in little memory. Bounded by its number of
// cases, and by ten times the processor's time of a whole run, so that a slow machine takes longer and fails nothing.
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { FUZZ_KINDS } from '../../scripts/lib/fuzz-kinds.js';
import { typescript } from '../../scripts/lib/project.js';
import { root, run } from '../support/needs.js';

const EACH = 550;
const SHARE = 0.02;

test('thousands of damaged files: a code or a valid model each', async () => {
  const script = path.join(root, 'scripts', 'fuzz.ts');
  const options = {
    ...{ mutations: 3 * EACH, truncations: 3 * EACH, share: SHARE },
    // slow/saving.test.ts has its own part of that.
    saving: 0,
    processor: 20_000,
  };
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const { status, output } = await run(process.execPath, ['--import', typescript, script, ...args], {
    timeout: 14 * 60_000,
  });
  assert.is(status, 0, output);
  const countOf = (kind: string) =>
    Number(new RegExp(`^(\\d+) ${kind}: at most \\d+ ms .*, \\d+ MB `, 'm').exec(output)?.[1]);
  for (const kind of ['h5', 'zip', 'safetensors'])
    for (const how of ['truncated', 'mutated']) assert.is(countOf(`${kind} ${how}`), EACH, output);
  for (const { name, cases } of FUZZ_KINDS) assert.is(countOf(name), Math.ceil(SHARE * cases), output);
  const [, done, of] = /^(\d+) of (\d+) cases/m.exec(output) ?? [];
  assert.ok(done !== undefined && done === of, output);
  const valid = Number(/^ {2}valid: (\d+)$/m.exec(output)?.[1]);
  // A file that is cut is never whole; of those with changed bytes some still make sense.
  assert.ok(valid >= (3 * EACH) / 50, output);
});

test.run();
