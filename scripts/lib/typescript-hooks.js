// @ts-check
// How Node.js imports this project's TypeScript in tests: `./x.js` may be x.ts, whose types esbuild takes out. What it
// makes of a file is kept in build/typescript/ until the file changes, so a process starts in little more than half the time that it
// takes with tsx, which looks at the packages' own JavaScript as well.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const rootUrl = pathToFileURL(root).href;
const require = createRequire(import.meta.url);
/** Changes with the options below. */
const version = `1 ${require('esbuild/package.json').version}`;

/** Where the JavaScript of a file is kept; undefined for those of temporary folders. @param {string} file */
function placeOf(file) {
  const name = path.relative(root, file);
  const isOurs = /^(src|test|scripts|bench|examples)[\\/]/.test(name);
  return isOurs ? path.join(root, 'build', 'typescript', `${name}.js`) : undefined;
}

/** The first line of the JavaScript, by which it is known to be up to date. @param {string} source */
const bannerOf = (source) => `// ${version} ${createHash('sha1').update(source).digest('hex')}`;

/** @param {string} file @param {string} source @returns {import('esbuild').TransformOptions} */
const optionsFor = (file, source) => ({
  loader: 'ts',
  format: 'esm',
  target: 'node20',
  banner: bannerOf(source),
  sourcefile: file,
  sourcemap: 'inline',
  sourcesContent: false,
  tsconfigRaw: { compilerOptions: { target: 'es2022', verbatimModuleSyntax: true } },
});

/** @param {string} file @param {string} source */
function kept(file, source) {
  const place = placeOf(file);
  if (!place || !existsSync(place)) return undefined;
  const code = readFileSync(place, 'utf8');
  return code.startsWith(`${bannerOf(source)}\n`) ? code : undefined;
}

/** Other processes may do the same at the same time: a file is never seen half written. @param {string} file @param {string} code */
function keep(file, code) {
  const place = placeOf(file);
  if (!place) return code;
  mkdirSync(path.dirname(place), { recursive: true });
  const own = `${place}.${process.pid}`;
  writeFileSync(own, code);
  renameSync(own, place);
  return code;
}

/** Compiles what is out of date: all at once is faster than file by file. @param {readonly string[]} files */
export async function compileAll(files) {
  /** @type {typeof import('esbuild') | undefined} */
  let esbuild;
  const one = async (/** @type {string} */ file) => {
    const source = readFileSync(file, 'utf8');
    if (kept(file, source) !== undefined) return;
    esbuild ??= /** @type {typeof import('esbuild')} */ (require('esbuild'));
    // What does not compile is reported by the test that imports it.
    const made = await esbuild
      .transform(source, { ...optionsFor(file, source), logLevel: 'silent' })
      .catch(() => undefined);
    if (made) keep(file, made.code);
  };
  await Promise.all(files.map(one));
  await esbuild?.stop();
}

/**
 * `next` is the hook behind this one; it and what it returns are synchronous or not as Node.js calls it.
 * @param {string} specifier @param {{ parentURL?: string }} context
 * @param {(specifier: string, context: object) => unknown} next
 */
export function resolve(specifier, context, next) {
  const { parentURL } = context;
  if (parentURL?.startsWith(rootUrl) && parentURL.endsWith('.ts') && /^\.\.?\/.*\.js$/.test(specifier)) {
    const url = new URL(specifier.replace(/\.js$/, '.ts'), parentURL);
    if (existsSync(url)) return { url: url.href, format: 'module', shortCircuit: true };
  }
  return next(specifier, context);
}

/** @param {string} url @param {object} context @param {(url: string, context: object) => unknown} next */
export function load(url, context, next) {
  if (!url.startsWith(rootUrl) || !url.endsWith('.ts') || url.includes('/node_modules/'))
    return next(url, context);
  const file = fileURLToPath(url);
  const text = readFileSync(file, 'utf8');
  const source =
    kept(file, text) ?? keep(file, require('esbuild').transformSync(text, optionsFor(file, text)).code);
  return { format: 'module', source, shortCircuit: true };
}
