// Files that belong together: an index and the parts that it names.
//
//   1. parts are written under temporary names, beside what is there
//   2. each gets a name that nothing else has; an index that is there still names the old ones
//   3. the index takes the place of the old one: at this moment, and at no other, the set changes
//   4. parts that the old index named, and no other index names, are removed
//
// So an index names whole files of one generation whenever it is looked at, however the process ends.
import { randomBytes } from 'node:crypto';
import { lstatSync, readdirSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { BitnibbleError } from '../errors.js';
import { JSON_LIMIT } from '../formats/json.js';
import { isJsonObject } from '../keras/shards.js';
import type { ByteSource } from '../keras/source.js';
import { Draft, reserve, sweepDrafts, syncFolder } from './drafts.js';
import { fileSource, type MakeOptions, ownershipAt, placeOf, readFile, translated } from './files.js';

/** Tells generations of one set apart. */
const TAG = /^(.*)-[0-9a-f]{8}$/s;
const NAME_BYTES = 255;
/** Indexes in one folder that are looked at before a part is removed. */
const MOST_INDEXES = 1000;
/** A part that no index names was left by a process that was killed, once it has had its name for this long. */
const HOUR = 60 * 60 * 1000;

/** How the parts of a set are called: all after the output, whatever the input calls them. */
export interface PartNames {
  /** Of a part, before the tag: `model_00001`. */
  readonly stem: (part: number, count: number) => string;
  /** After the tag: `.weights.h5`. */
  readonly ending: string;
  /** Whether a stem is one of this set's. */
  readonly isStem: (stem: string) => boolean;
}

/** A file that readers open before any part. It only has to be there. */
export interface Door {
  readonly name: string;
  readonly bytes: () => Promise<Uint8Array>;
  /** Whether readers take a file as it is. */
  readonly accepts: (file: ByteSource) => boolean;
}

/** What {@link writeSet} writes. */
export interface FileSet {
  readonly names: PartNames;
  /** Writes the parts in order, each in a draft that `add` makes. */
  readonly write: (add: () => Draft) => void | Promise<void>;
  /** The index, for parts of these names; asked again where a name is taken. */
  readonly index: (names: readonly string[]) => Iterable<Uint8Array>;
  /** The names in an index; it may be any file that was called so before. */
  readonly listed: (index: Uint8Array) => readonly string[];
  readonly door?: Door;
}

/** `STEM-TAG.ENDING`, the beginning of the stem cut off where the name would be too long. Without a tag as it is. */
function nameOf({ stem, ending }: PartNames, part: number, count: number, tag: string): string {
  const suffix = (tag === '' ? '' : `-${tag}`) + ending;
  // What numbers the part stands at the end of the stem.
  const letters = Array.from(stem(part, count));
  while (tag !== '' && Buffer.byteLength(letters.join('') + suffix) > NAME_BYTES) letters.shift();
  return letters.join('') + suffix;
}

/** Whether a name is one that this set's parts can have: plain, or with a tag. */
function partKind({ isStem, ending }: PartNames, name: string): 'plain' | 'tagged' | undefined {
  if (!name.endsWith(ending) || /[/\\\0]/.test(name)) return undefined;
  const stem = name.slice(0, -ending.length);
  if (isStem(stem)) return 'plain';
  const untagged = TAG.exec(stem)?.[1];
  return untagged !== undefined && isStem(untagged) ? 'tagged' : undefined;
}

/** The names that a file called as the index lists; none where it is not there or something else. */
function listedIn(path: string, { listed }: FileSet): readonly string[] {
  try {
    return listed(readFile(path, JSON_LIMIT));
  } catch {
    return [];
  }
}

/**
 * The texts of all that can be an index in a folder, whatever it is called, but the own one; undefined where that cannot be
 * told.
 */
function otherIndexes(folder: string, own: string): readonly string[] | undefined {
  const texts: string[] = [];
  try {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      if (entry.name === own || !(entry.isFile() || entry.isSymbolicLink())) continue;
      const file = fileSource(join(folder, entry.name));
      try {
        if (!isJsonObject(file)) continue;
        if (file.size > JSON_LIMIT || texts.length === MOST_INDEXES) return undefined;
        const bytes = new Uint8Array(file.size);
        file.read(bytes, 0);
        texts.push(withoutEscapes(new TextDecoder().decode(bytes)));
      } finally {
        file.close?.();
      }
    }
    return texts;
  } catch {
    return undefined;
  }
}

const withoutEscapes = (json: string) =>
  json.replace(/\\u([0-9a-f]{4})/gi, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)));

/** One set on its way to its folder. */
class Publication {
  readonly #drafts: Draft[] = [];
  readonly #parts: Draft[] = [];
  /** Names taken for parts that no index names yet. */
  #taken: string[] = [];

  constructor(
    readonly output: string,
    readonly folder: string,
    readonly set: FileSet,
    readonly begin: () => Draft,
  ) {}

  #draft(): Draft {
    const draft = this.begin();
    this.#drafts.push(draft);
    return draft;
  }

  /** The first failure to write, if there was one. */
  get fault(): unknown {
    return this.#drafts.find(({ fault }) => fault)?.fault;
  }

  async writeParts(): Promise<void> {
    await this.set.write(() => {
      const part = this.#draft();
      this.#parts.push(part);
      return part;
    });
    for (const part of this.#parts) part.settle();
  }

  /** @returns the names; undefined where one of them was not free */
  publish(tag: string): { names: readonly string[]; before: readonly string[] } | undefined {
    const { folder, output, set } = this;
    const names = this.#parts.map((_, i) => nameOf(set.names, i, this.#parts.length, tag));
    const index = this.#draft();
    for (const piece of set.index(names)) index.append(piece);
    index.settle();
    for (const name of names) {
      if (!reserve(join(folder, name))) {
        index.discard();
        this.#release();
        return undefined;
      }
      this.#taken.push(name);
    }
    for (const [i, part] of this.#parts.entries()) part.moveTo(join(folder, names[i] as string));
    syncFolder(folder);
    const before = listedIn(output, set);
    placeOf(output);
    index.moveTo(output);
    this.#taken = [];
    syncFolder(folder);
    return { names, before };
  }

  #release(): void {
    for (const name of this.#taken) rmSync(join(this.folder, name), { force: true });
    this.#taken = [];
  }

  /** Takes away whatever is not in place. */
  end(): void {
    this.#release();
    for (const draft of this.#drafts) draft.discard();
  }

  /** Sees to it that the door is there before an index is that needs it. */
  async openDoor(): Promise<void> {
    const { folder, output, set } = this;
    if (!set.door) return;
    const path = join(folder, set.door.name);
    for (let patience = 20; lstatSync(path, { throwIfNoEntry: false }); patience--) {
      const file = fileSource(path);
      const isAccepted = set.door.accepts(file);
      file.close?.();
      if (isAccepted) return;
      // Empty while another process puts its own there.
      if (file.size === 0 && patience > 0) {
        await setTimeout(50);
        continue;
      }
      throw new BitnibbleError(
        'not-writable',
        `${output}: cannot be written: ${path} stands in its way, which is no part of it and is read with it; choose another name`,
      );
    }
    await this.#putDoor(set.door, (draft) => {
      if (reserve(path)) draft.moveTo(path);
    });
  }

  async #putDoor(door: Door, place: (draft: Draft) => void): Promise<void> {
    const draft = this.#draft();
    draft.append(await door.bytes());
    draft.settle();
    place(draft);
  }

  /** Removes what the old index named, and what killed processes left, unless another index names it. */
  async clear(names: readonly string[], before: readonly string[]): Promise<void> {
    const { folder, output, set } = this;
    const others = otherIndexes(folder, basename(output));
    if (!others) return;
    const isNamed = (name: string) => names.includes(name) || others.some((text) => text.includes(name));
    const old = new Set(before.filter((name) => partKind(set.names, name) && !isNamed(name)));
    for (const name of readdirSync(folder)) {
      if (partKind(set.names, name) !== 'tagged' || isNamed(name)) continue;
      const stats = lstatSync(join(folder, name), { throwIfNoEntry: false });
      if (stats && Date.now() - stats.ctimeMs > HOUR) old.add(name);
    }
    if (set.door && old.delete(set.door.name)) {
      const path = join(folder, set.door.name);
      await this.#putDoor(set.door, (draft) => draft.moveTo(path));
    }
    for (const name of old) {
      const path = join(folder, name);
      if (lstatSync(path, { throwIfNoEntry: false })?.isFile()) rmSync(path, { force: true });
    }
  }
}

/**
 * Writes an index and its parts beside it. No file is replaced but the index; of what is there, nothing is removed but parts of
 * the set that this one replaces. Parts have plain names in a set that is new, and names with a tag in one that replaces another.
 *
 * @param output the index
 * @returns the names of the parts
 * @throws BitnibbleError `not-writable`; whatever `write` throws
 */
export async function writeSet(
  output: string,
  set: FileSet,
  options: MakeOptions = {},
): Promise<readonly string[]> {
  const { path, folder, replaced } = placeOf(output);
  if (path !== output) {
    throw new BitnibbleError(
      'not-writable',
      `${output}: cannot be written: it is a symbolic link to ${path}, and its parts would be found from one of the two alone; name the file itself`,
    );
  }
  const owned = ownershipAt({ path, folder, replaced }, options);
  const publication = new Publication(output, folder, set, () => new Draft(folder, owned));
  try {
    sweepDrafts(folder);
    await publication.writeParts();
    // A name that an index ever listed is not taken again, so plain names are for a set that replaces none.
    const fresh = () => randomBytes(4).toString('hex');
    let published = replaced ? undefined : publication.publish('');
    while (!published) {
      await publication.openDoor();
      published = publication.publish(fresh());
    }
    const { names, before } = published;
    try {
      await publication.clear(names, before);
    } catch {
      // The set is whole. What could not be removed is in nobody's way.
    }
    return names;
  } catch (error) {
    throw translated(publication.fault ?? error, output, 'written');
  } finally {
    publication.end();
  }
}
