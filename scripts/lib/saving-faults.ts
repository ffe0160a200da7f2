// What the file system does at a chosen moment: the n-th call that changes something fails, or never comes.
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

const CHANGING = [
  'openSync',
  'writeSync',
  'ftruncateSync',
  'fchmodSync',
  'fsyncSync',
  'renameSync',
  'unlinkSync',
  'rmSync',
] as const;

/**
 * Calls `instead` in place of the n-th call of `node:fs` that changes something, the first being 1.
 * @returns how to undo it; it tells whether the call came
 */
export function atCall(n: number, instead: (name: string) => void): () => boolean {
  const own = fs as unknown as Record<string, (...given: unknown[]) => unknown>;
  const before = CHANGING.map((name) => [name, own[name] as (...given: unknown[]) => unknown] as const);
  let calls = 0;
  for (const [name, call] of before) {
    own[name] = (...given) => {
      if (++calls === n) instead(name);
      return call.apply(fs, given);
    };
  }
  syncBuiltinESMExports();
  return () => {
    for (const [name, call] of before) own[name] = call;
    syncBuiltinESMExports();
    return calls >= n;
  };
}
