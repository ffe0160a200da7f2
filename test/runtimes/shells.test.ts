// The conformance suite in Node.js 20, Node.js 24, Deno and Bun.
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { need, run } from '../support/needs.js';
import type { Report } from './suite/conformance.js';
import { bundleHosts } from './support/bundle.js';
import { check } from './support/report.js';
import { type StaticServer, serve } from './support/server.js';

const test = suite('conformance');
const doors = ['embedded', 'kernels.wasm', 'reader', 'reader.wasm', 'reference', 'runtime', 'runtime.wasm'];
let folder = '';
let server: StaticServer | undefined;

test.before(async () => {
  folder = await bundleHosts(['shell.ts']);
  server = await serve(folder);
});
test.after(() => server?.close());

async function inShell(name: string, binary: string, args: string[], expected: readonly string[]) {
  const version = (await run(binary, ['--version'])).stdout.split('\n')[0] as string;
  const label = `${name} ${version.replace(/^(v|deno )|\(.*\)/g, '').trim()}`;
  const url = `${server?.origin}/plain/golden.safetensors`;
  const command = [...args, path.join(folder, 'shell.js'), url, folder, label];
  const { status, stdout, output } = await run(binary, command, { cwd: folder, timeout: 120_000 });
  assert.is(status, 0, output);
  const report: Report = JSON.parse(stdout);
  assert.is(report.runtime, label);
  check(label, report, expected);
}

need(test, 'node20')('Node.js 20', ({ node20 }) => inShell('Node.js', node20, [], doors));
need(test, 'node24')('Node.js 24', ({ node24 }) => inShell('Node.js', node24, [], doors));
need(test, 'deno')('Deno', ({ deno }) => {
  const args = ['run', '--no-prompt', '--no-config', '--allow-read', '--allow-net=127.0.0.1'];
  return inShell('Deno', deno, args, [...doors, 'import', 'runtime import']);
});
need(test, 'bun')('Bun', ({ bun }) => inShell('Bun', bun, ['run'], doors));

test.run();
