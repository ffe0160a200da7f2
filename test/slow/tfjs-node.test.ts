import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import ts from 'typescript';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { need, root, run, tempDir, typescript } from '../support/needs.js';

const test = suite('loadTensorFlow');
const native = need(test, 'tfjs-node');
const nativeOn24 = need(test, 'tfjs-node', 'node24');
const on24 = need(test, 'node24');

const computed = {
  product: [19, 22, 43, 50],
  // 2 channels x 9 taps in the middle of the image, 4 windows, 3 filters.
  predicted: 2 * 9 * 4 * 3,
  loss: (2 * 9 * 4 * 3) ** 2,
  top: [1, 2],
  text: ['a', 'bc'],
  handlers: 0,
};

async function probe(node: string, prefer: 'node' | 'wasm', env: NodeJS.ProcessEnv = {}) {
  const args = ['--import', typescript, path.join(root, 'test/support/tfjs-probe.ts'), prefer];
  // A level set outside would hide what loadTensorFlow has to silence.
  const clean = { ...process.env, TF_CPP_MIN_LOG_LEVEL: undefined, ...env };
  const { status, stdout, stderr } = await run(node, args, { env: clean, timeout: 120_000 });
  assert.is(status, 0, stderr);
  assert.is(stderr, '', 'nothing on stderr');
  assert.is(stdout.split('\n').length, 2, `one line on stdout, got ${stdout}`);
  return JSON.parse(stdout);
}

native('computes with tfjs-node, quietly', async () => {
  const seen = await probe(process.execPath, 'node');
  assert.equal(seen, {
    ...computed,
    node: process.version,
    backend: 'tensorflow',
    active: 'tensorflow',
    note: null,
  });
});

nativeOn24('computes with tfjs-node under Node.js 24', async ({ node24 }) => {
  const { node, ...seen } = await probe(node24, 'node');
  assert.match(node, /^v24\./);
  assert.equal(seen, { ...computed, backend: 'tensorflow', active: 'tensorflow', note: null });
});

on24('computes on the WebAssembly backend under Node.js 24', async ({ node24 }) => {
  const { node, ...seen } = await probe(node24, 'wasm');
  assert.match(node, /^v24\./);
  assert.equal(seen, { ...computed, backend: 'wasm', active: 'wasm', note: null });
});

test('computes on the WebAssembly backend when that is asked for', async () => {
  const seen = await probe(process.execPath, 'wasm');
  assert.equal(seen, { ...computed, node: process.version, backend: 'wasm', active: 'wasm', note: null });
});

/** The loader as it is published, in a folder from which `packages` can be imported. */
function isolated(packages: Record<string, string>): string {
  const folder = tempDir();
  const compilerOptions = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 };
  for (const file of ['node/tfjs', 'errors']) {
    const source = readFileSync(path.join(root, 'src', `${file}.ts`), 'utf8');
    mkdirSync(path.join(folder, path.dirname(file)), { recursive: true });
    writeFileSync(
      path.join(folder, `${file}.js`),
      ts.transpileModule(source, { compilerOptions }).outputText,
    );
  }
  writeFileSync(path.join(folder, 'package.json'), '{ "type": "module" }');
  for (const [name, source] of Object.entries(packages)) {
    const home = path.join(folder, 'node_modules', name);
    mkdirSync(home, { recursive: true });
    writeFileSync(path.join(home, 'package.json'), JSON.stringify({ name, main: 'index.js' }));
    writeFileSync(path.join(home, 'index.js'), source);
  }
  return folder;
}

async function loadIn(folder: string): Promise<Record<string, string>> {
  const code = `
    const { loadTensorFlow } = await import('./node/tfjs.js');
    const show = (value) => console.log(JSON.stringify(value));
    await loadTensorFlow().then(
      ({ backend, note }) => show({ backend, note }),
      ({ name, code, message }) => show({ name, code, message }),
    );`;
  const { status, stdout, stderr } = await run(process.execPath, ['--input-type=module', '-e', code], {
    cwd: folder,
  });
  assert.is(status, 0, stderr);
  return JSON.parse(stdout);
}

const fakeTf = "exports.setBackend = async (name) => name === 'wasm';";

test('falls back to the WebAssembly backend and says why: tfjs-node is not installed', async () => {
  const folder = isolated({ '@tensorflow/tfjs': fakeTf, '@tensorflow/tfjs-backend-wasm': '' });
  assert.equal(await loadIn(folder), {
    backend: 'wasm',
    note:
      'tfjs-node is not available (@tensorflow/tfjs-node is not installed); ' +
      'evaluating on the slower WebAssembly backend',
  });
});

test('falls back to the WebAssembly backend and says why: tfjs-node is broken', async () => {
  const folder = isolated({
    '@tensorflow/tfjs': fakeTf,
    '@tensorflow/tfjs-backend-wasm': '',
    '@tensorflow/tfjs-node': "throw new Error('The add-on can not be found at path: x \\nPlease rebuild');",
  });
  const { backend, note } = await loadIn(folder);
  assert.is(backend, 'wasm');
  assert.match(note ?? '', '(The add-on can not be found at path: x)');
});

test('names the packages to install when there is neither', async () => {
  const { name, code, message = '' } = await loadIn(isolated({}));
  assert.is(name, 'BitnibbleError');
  assert.is(code, 'no-tfjs');
  assert.match(message, '@tensorflow/tfjs-node is not installed');
  const packages = 'npm install @tensorflow/tfjs @tensorflow/tfjs-backend-wasm';
  assert.ok(
    message.endsWith(`: run "${packages}", or "npm install @tensorflow/tfjs-node", which computes faster`),
  );
});

test.run();
