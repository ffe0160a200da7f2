import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { need, root, run, runPython, typescript } from '../support/needs.js';

const test = suite('needs');
const python = need(test, 'python');

python('runPython passes arguments and returns what is printed', async () => {
  const code = 'import sys, numpy; print(numpy.arange(3).sum(), sys.argv[1:])';
  assert.is((await runPython(code, ['a', 'b c'])).trim(), "3 ['a', 'b c']");
});

python('runPython throws what Python raised', async () => {
  const message = await runPython('raise ValueError("no such thing")').then(String, (error) => String(error));
  assert.match(message, 'ValueError: no such thing');
});

/** What becomes of a test that needs a tool which is not there. */
async function without(tool: string, env: NodeJS.ProcessEnv) {
  mkdirSync(path.join(root, 'build'), { recursive: true });
  const folder = mkdtempSync(path.join(root, 'build', 'needs-'));
  try {
    const source = `import { suite } from 'uvu';
      import { need } from '../../test/support/needs.js';
      const test = suite('lacking');
      need(test, '${tool}')('the one', () => {});
      test.run();`;
    writeFileSync(path.join(folder, 'lacking.ts'), source);
    const nothing = path.join(folder, 'nothing');
    const absent = {
      BITNIBBLE_PYTHON: nothing,
      BITNIBBLE_NODE24: nothing,
      BITNIBBLE_SHARED: nothing,
      BITNIBBLE_CASES: nothing,
    };
    const all = { ...process.env, CI: undefined, ...absent, ...env };
    return await run(process.execPath, ['--import', typescript, path.join(folder, 'lacking.ts')], {
      env: all,
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

for (const tool of ['python', 'keras', 'node24', 'shared', 'cases']) {
  test(`without ${tool} a test is skipped and says so`, async () => {
    const { status, stdout, stderr } = await without(tool, {});
    assert.is(status, 0);
    assert.match(stderr, /^SKIPPED: "the one" because /);
    assert.match(stdout, /Skipped: +1/);
  });
}

for (const tool of ['python', 'keras', 'node24']) {
  test(`in CI, without ${tool} a test fails`, async () => {
    const { status, stdout } = await without(tool, { CI: 'true' });
    assert.is(status, 1);
    assert.match(stdout, 'CI has to run this test, but ');
  });
}

for (const folder of ['shared', 'cases']) {
  test(`in CI, without ${folder} a test is still skipped`, async () => {
    const { status, stderr } = await without(folder, { CI: 'true' });
    assert.is(status, 0);
    assert.match(stderr, /^SKIPPED: "the one" because /);
  });
}

test('in CI, what may be lacking is skipped, and nothing else', async () => {
  const may = { CI: 'true', BITNIBBLE_MAY_LACK: 'tfjs-node,node24' };
  const skipped = await without('node24', may);
  assert.is(skipped.status, 0);
  assert.match(skipped.stderr, /^SKIPPED: "the one" because /);
  assert.is((await without('python', may)).status, 1);
});

test.run();
