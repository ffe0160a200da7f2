// Kinds of hostile input beside damaged files. Another kind is a module and a line in the list below.

import { dataFiles } from './fuzz-data.js';
import { craftedH5 } from './fuzz-h5.js';
import type { FuzzKind } from './fuzz-kind.js';
import { packedFields } from './fuzz-packed.js';
import { recipes } from './fuzz-recipes.js';
import { runtime } from './fuzz-runtime.js';
import { servers } from './fuzz-servers.js';

export const FUZZ_KINDS: readonly FuzzKind[] = [
  craftedH5,
  packedFields,
  runtime,
  servers,
  dataFiles,
  recipes,
];

/** `KIND:N`, where a file's case is `FILE#cut-N`. */
export function kindOfCase(name: string): { kind: FuzzKind; number: number } | undefined {
  const [, label, number] = /^([\w ]+):(\d+)$/.exec(name) ?? [];
  const kind = FUZZ_KINDS.find((each) => each.name === label);
  return kind && { kind, number: Number(number) };
}
