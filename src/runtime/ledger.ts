/** What one layer of a program takes. */
export interface LedgerEntry {
  readonly layer: string;
  readonly className: string;
  /** Kernels of its products: `winograd`, `direct`, `float`, `depthwise`. */
  readonly kernels: Set<string>;
  /** Layers that are computed with it. */
  readonly fused: string[];
  macs: number;
  /** Bytes that stay: weights, tables, records. */
  bytes: number;
  steps: number;
}

/** Books the steps, bytes and multiply-adds of a program under the layers that they are for. */
export class Ledger {
  readonly entries: LedgerEntry[] = [];
  #turns = 1;

  /** Everything from now on belongs to this layer. */
  begin(layer: string, className: string): void {
    const entry = { layer, className, kernels: new Set<string>(), fused: [], macs: 0, bytes: 0, steps: 0 };
    this.entries.push(entry);
  }

  get #last(): LedgerEntry | undefined {
    return this.entries.at(-1);
  }

  /** A layer that the one at hand computes as well. */
  fuse(layer: string): void {
    this.#last?.fused.push(layer);
  }

  /** Multiply-adds of one sample, by a kind of kernel. */
  work(kernel: string, macs: number): void {
    const last = this.#last;
    if (!last) return;
    last.kernels.add(kernel);
    last.macs += macs * this.#turns;
  }

  /** Books what `body` adds as done so many times. */
  repeat<T>(turns: number, body: () => T): T {
    const outer = this.#turns;
    this.#turns = outer * turns;
    const result = body();
    this.#turns = outer;
    return result;
  }

  keep(bytes: number): void {
    if (this.#last) this.#last.bytes += bytes;
  }

  /** @returns the place of the layer that a new step belongs to */
  step(): number {
    if (this.#last) this.#last.steps++;
    return this.entries.length - 1;
  }
}
