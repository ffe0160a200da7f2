// Which files and lines `npm run mutate` changes, and which tests it holds them against.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { nameOf } from './mutate-pool.js';
import { root, walk } from './project.js';

/** Lines of a file, from 1; undefined: all. */
export type Chosen = ReadonlyMap<string, ReadonlySet<number> | undefined>;

const isSource = (name: string) =>
  /^src\/.*\.ts$/.test(name) && !/\/(embedded[^/]*|index|types)\.ts$/.test(name);
const git = (...args: string[]) => execFileSync('git', args, { cwd: root, encoding: 'utf8' });

/** Files and folders below `src`. @throws Error for what is not there */
export function named(places: readonly string[]): Chosen {
  const files = places.flatMap((place) => {
    const name = nameOf(place);
    if (!existsSync(path.join(root, name))) throw new Error(`${place} is not there`);
    const isFolder = statSync(path.join(root, name)).isDirectory();
    return isFolder ? walk(path.join(root, name)).map((file) => `${name}/${file}`) : [name];
  });
  return new Map(files.filter(isSource).map((file) => [file, undefined]));
}

/** The lines of `src` that differ from a commit, and new files. */
export function changedSince(commit: string): Chosen {
  const chosen = new Map<string, Set<number> | undefined>();
  let file = '';
  for (const line of git('diff', '--unified=0', '--no-renames', commit, '--', 'src').split('\n')) {
    if (line.startsWith('+++ ')) file = line.slice('+++ b/'.length);
    const [, start, count = '1'] = /^@@ .*\+(\d+)(?:,(\d+))? @@/.exec(line) ?? [];
    if (start === undefined || !isSource(file)) continue;
    const lines = chosen.get(file) ?? new Set<number>();
    for (let i = 0; i < Number(count); i++) lines.add(Number(start) + i);
    chosen.set(file, lines);
  }
  for (const name of git('ls-files', '--others', '--exclude-standard', '--', 'src').split('\n'))
    if (isSource(name)) chosen.set(name, undefined);
  return chosen;
}

/** What is not committed yet; where that is nothing, the last commit. */
export function lastChange(): Chosen {
  const open = changedSince('HEAD');
  return open.size > 0 ? open : changedSince('HEAD~1');
}

const imports = new Map<string, readonly string[]>();

/** The project's files that a file imports. */
function importsOf(name: string): readonly string[] {
  const known = imports.get(name);
  if (known) return known;
  const found = [
    ...readFileSync(path.join(root, name), 'utf8').matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g),
  ].map(([, to]) => path.posix.join(path.posix.dirname(name), String(to)).replace(/\.js$/, '.ts'));
  const own = found.filter((file) => existsSync(path.join(root, file)));
  imports.set(name, own);
  return own;
}

function reaches(from: string, wanted: ReadonlySet<string>, seen = new Set<string>()): boolean {
  if (wanted.has(from)) return true;
  if (seen.has(from) || !from.endsWith('.ts')) return false;
  seen.add(from);
  return importsOf(from).some((file) => reaches(file, wanted, seen));
}

/**
 * The test files that import the given sources, also by way of others: those of their rooms, `test/<room>/`, or all quick ones
 * where `everywhere` says so and where a source has no room with tests.
 */
export function testsOf(sources: Iterable<string>, everywhere: boolean): string[] {
  const wanted = new Set(sources);
  const rooms = [...wanted].map((name) => `test/${name.split('/')[1]}/`);
  const all = walk(path.join(root, 'test'))
    .map((file) => `test/${file}`)
    .filter((file) => file.endsWith('.test.ts') && !/^test\/(slow|runtimes|support|house)\//.test(file));
  const isWide = everywhere || rooms.some((room) => !all.some((file) => file.startsWith(room)));
  return all.filter(
    (file) => (isWide || rooms.some((room) => file.startsWith(room))) && reaches(file, wanted),
  );
}
