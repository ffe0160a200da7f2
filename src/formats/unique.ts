import { checkName, MAX_PATH } from './names.js';

/** Gives out names, each once: `name`, `name#2`, `name#3`, ... */
export class UniqueNames {
  readonly #taken = new Set<string>();
  readonly #next = new Map<string, number>();

  /** @throws BitnibbleError `too-large` for a path beyond reason */
  of(name: string, file = 'the model'): string {
    checkName(name, `${file}: a weight`, MAX_PATH);
    let free = name;
    let n = this.#next.get(name) ?? 2;
    while (this.#taken.has(free)) free = `${name}#${n++}`;
    this.#next.set(name, n);
    this.#taken.add(free);
    return free;
  }
}
