// @ts-check
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { root } from './project.js';
import * as typescript from './typescript-hooks.js';

const folder = String(process.env.BITNIBBLE_MUTANTS);
const uvu = new URL('./mutate-uvu.js', import.meta.url).href;

/** @param {string} specifier @param {{ parentURL?: string }} context @param {(specifier: string, context: object) => unknown} next */
export function resolve(specifier, context, next) {
  if (specifier === 'uvu') return { url: uvu, format: 'module', shortCircuit: true };
  return typescript.resolve(specifier, context, next);
}

/** @param {string} url @param {object} context @param {(url: string, context: object) => unknown} next */
export function load(url, context, next) {
  if (url.startsWith('file:') && url.endsWith('.ts')) {
    const mutated = path.join(folder, `${path.relative(root, fileURLToPath(url))}.js`);
    if (existsSync(mutated))
      return { format: 'module', source: readFileSync(mutated, 'utf8'), shortCircuit: true };
  }
  return typescript.load(url, context, next);
}
