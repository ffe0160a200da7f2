/**
 * Names of the layers of one flat model out of paths, each once: a layer's own name, or, where another has it, that of its
 * model with it. TensorFlow.js tells weights apart by the name of their layer, and its files keep plain characters alone.
 */
export class LayerNames {
  readonly #taken = new Set<string>();
  readonly #reserved: ReadonlySet<string>;

  /** @param paths of all layers to come: those of the outermost model keep their names before those inside */
  constructor(paths: readonly string[]) {
    this.#reserved = new Set(paths.filter((path) => !path.includes('/')).map(safe));
  }

  /** The name of a layer; another one each time. */
  of(path: string): string {
    const own = safe(path.slice(path.lastIndexOf('/') + 1));
    const whole = safe(path.replace(/\//g, '_'));
    const isOuter = !path.includes('/');
    const isFree = (name: string) => !this.#taken.has(name) && (isOuter || !this.#reserved.has(name));
    let free = [own, whole].find(isFree);
    for (let n = 2; free === undefined; n++) if (isFree(`${whole}_${n}`)) free = `${whole}_${n}`;
    this.#taken.add(free);
    return free;
  }
}

const safe = (name: string) => name.replace(/[^-A-Za-z0-9._/]/g, '_').replace(/^(?![A-Za-z0-9])/, 'layer');
