import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { root, tempDir } from '../../support/needs.js';

/**
 * An empty project that has installed what bitnibble publishes.
 * @param others folders of further packages, by links
 */
export function emptyProject(...others: readonly string[]): string {
  const folder = tempDir();
  const modules = path.join(folder, 'node_modules');
  const own = path.join(modules, 'bitnibble');
  mkdirSync(path.join(own, 'build'), { recursive: true });
  const wasm = ['kernels', 'reader', 'runtime'].map((name) => `build/${name}.wasm`);
  for (const name of ['package.json', 'dist', ...wasm]) {
    if (!existsSync(path.join(root, name))) throw new Error(`there is no ${name}: npm run build makes it`);
    cpSync(path.join(root, name), path.join(own, name), { recursive: true });
  }
  for (const other of others) {
    for (const name of readdirSync(other)) {
      const link = path.join(modules, name);
      if (!existsSync(link)) symlinkSync(path.join(other, name), link, 'dir');
    }
  }
  writeFileSync(path.join(folder, 'package.json'), '{ "private": true, "type": "module" }');
  return folder;
}

/**
 * The first block of a language behind a text of a page of the documentation, as it stands there.
 * @param page of the repository; README.md without one
 */
export function snippetOf(after: string, language: 'ts' | 'sh', page = 'README.md'): string {
  const text = readFileSync(path.join(root, page), 'utf8');
  const from = text.indexOf(after);
  if (from < 0) throw new Error(`${page} no longer says ${JSON.stringify(after)}`);
  const [, code] = new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'm').exec(text.slice(from)) ?? [];
  if (code === undefined) throw new Error(`${page} has no ${language} block after ${JSON.stringify(after)}`);
  return code;
}
