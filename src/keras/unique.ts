/** Gives out names, each once: `name`, `name#2`, `name#3`, ... */
export class UniqueNames {
  readonly #taken = new Set<string>();
  readonly #next = new Map<string, number>();

  of(name: string): string {
    let free = name;
    let n = this.#next.get(name) ?? 2;
    while (this.#taken.has(free)) free = `${name}#${n++}`;
    this.#next.set(name, n);
    this.#taken.add(free);
    return free;
  }
}
