import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { build, type Plugin } from 'esbuild';
import { root, tempDir } from '../../support/needs.js';
import { writeNetworks } from './networks.js';

/** With `BITNIBBLE_DIST=1` the hosts run what is published, else the source. */
const published: Plugin = {
  name: 'published',
  setup({ onResolve }) {
    if (process.env.BITNIBBLE_DIST !== '1') return;
    onResolve({ filter: /^\.\.?\/.*\.js$/ }, ({ path: specifier, resolveDir }) => {
      const file = path.relative(path.join(root, 'src'), path.resolve(resolveDir, specifier));
      return file.startsWith('..') ? undefined : { path: path.join(root, 'dist', file) };
    });
  },
};

/** Hosts of the conformance suite, which runs networks. */
const CONFORMANCE = new Set(['shell.ts', 'page.ts', 'worker.ts', 'workerd.ts']);

/** Bundles of hosts and other entries, with the modules and the golden file beside them, in a new folder. */
export async function bundleHosts(
  entries: readonly string[],
  external: readonly string[] = [],
): Promise<string> {
  const folder = tempDir();
  await build({
    entryPoints: entries.map((entry) => path.join(root, 'test/runtimes/hosts', entry)),
    outdir: folder,
    bundle: true,
    format: 'esm',
    target: 'es2022',
    logLevel: 'warning',
    external: ['node:*', ...external],
    plugins: [published],
  });
  for (const file of ['kernels.wasm', 'reader.wasm', 'runtime.wasm']) {
    copyFileSync(path.join(root, 'build', file), path.join(folder, file));
  }
  const golden = JSON.parse(readFileSync(path.join(root, 'test/fixtures/golden/golden.json'), 'utf8'));
  writeFileSync(path.join(folder, 'golden.safetensors'), Buffer.from(golden.packed, 'base64'));
  if (entries.some((entry) => CONFORMANCE.has(entry))) await writeNetworks(folder);
  return folder;
}
