import { type LayerRecord, RECORD_BYTES, RUN_BYTES, writeRecord } from './record.js';
import { Refusal, refuse, requireRoom } from './refusal.js';
import type { Kernels } from './types.js';

/** Where a tensor's bytes are; several tensors of other shapes may lie there. */
interface Storage {
  readonly bytes: number;
  at: number;
  /** Steps between which it is needed. */
  first: number;
  last: number;
  /** Its range, 8 bytes that its producer widens; 0 where nobody asked. */
  slot: number;
}

/** float32 values in C order, without the batch axis. */
export interface Tensor {
  readonly shape: readonly number[];
  readonly size: number;
  readonly storage: Storage;
}

/** What runs, with everything decided but the addresses of tensors. */
interface Step {
  readonly reads: readonly Tensor[];
  readonly writes: readonly Tensor[];
  /** The first tensor written may lie where the first read lies, if nobody needs that any more. */
  readonly isInPlace: boolean;
  readonly run: () => void;
}

/** Memory that steps share, one after the other. */
export type Room = 'stage' | 'panel' | 'transformed' | 'sums' | 'work';

const aligned = (bytes: number) => (bytes + 63) & -64;

/** Kernels may read that much behind a tensor. */
const SLACK = 64;

/**
 * Steps over tensors in the memory of one set of kernels: weights at the bottom, then rooms that steps share, then tensors, which
 * share bytes where their lives do not meet. Nothing is allocated once it is {@link Program.finish}ed.
 */
export class Program {
  readonly #steps: Step[] = [];
  readonly #rooms = new Map<Room, { bytes: number; at: number }>();
  readonly #records: { readonly at: number; readonly fields: () => Partial<LayerRecord> }[] = [];
  readonly #slots: number[] = [];
  #top: number;
  #isOpen = true;
  /** All of memory, once the program is finished. */
  floats = new Float32Array(0);
  words = new Int32Array(0);
  /** Bytes of weights, of shared rooms, and of tensors. */
  readonly sizes = { weights: 0, rooms: 0, tensors: 0 };

  /** @param limit bytes of memory at most, weights included */
  constructor(
    readonly kernels: Kernels,
    readonly limit = 2 ** 31,
  ) {
    this.#top = kernels.base;
  }

  /** @throws Refusal `too-large` */
  #reserve(end: number): void {
    requireRoom(end, this.limit);
    this.kernels.reserve(end);
  }

  /** Bytes that stay. */
  allocate(bytes: number): number {
    const at = this.#top;
    this.#top = aligned(at + bytes + SLACK);
    this.#reserve(this.#top);
    return at;
  }

  /** An array that stays. */
  put(array: ArrayBufferView): number {
    const at = this.allocate(array.byteLength);
    this.write(at, array);
    return at;
  }

  write(at: number, array: ArrayBufferView): void {
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    new Uint8Array(this.kernels.memory.buffer).set(bytes, at);
  }

  /** Room behind everything that stays, until something else is allocated. */
  borrow(bytes: number): number {
    this.#reserve(this.#top + bytes + SLACK);
    return this.#top;
  }

  /** A table of runs: offset, rows, offset of scales or -1. */
  table(runs: readonly (readonly [offset: number, rows: number, group: number])[]): {
    readonly table: number;
    readonly runs: number;
  } {
    const words = new Int32Array((runs.length * RUN_BYTES) / 4);
    words.set(runs.flat());
    return { table: this.put(words), runs: runs.length };
  }

  /** A record that is written when all addresses are known. */
  record(fields: () => Partial<LayerRecord>): number {
    const at = this.allocate(RECORD_BYTES);
    this.#records.push({ at, fields });
    return at;
  }

  /** Lends a record with these codes to `work`: neither stays. */
  decode(codes: Uint8Array, fields: Partial<LayerRecord>, work: (record: number) => void): void {
    const at = this.borrow(aligned(RECORD_BYTES) + codes.length);
    const own = at + aligned(RECORD_BYTES);
    this.write(own, codes);
    writeRecord(this.kernels.memory.buffer, at, { ...fields, codes: own });
    work(at);
  }

  /** Makes a shared room at least so large. */
  room(name: Room, bytes: number): void {
    const room = this.#rooms.get(name);
    if (room) room.bytes = Math.max(room.bytes, bytes);
    else this.#rooms.set(name, { bytes, at: 0 });
  }

  /** Address of a shared room: for steps and records. */
  roomAt(name: Room): number {
    return this.#rooms.get(name)?.at ?? 0;
  }

  /** @throws Refusal for lengths that are no whole numbers, `too-large` */
  tensor(shape: readonly number[]): Tensor {
    const size = shape.reduce((n, d) => n * d, 1);
    if (!shape.every((n) => Number.isSafeInteger(n) && n >= 0)) refuse(`a tensor of shape [${shape}]`);
    requireRoom(4 * size, this.limit);
    const storage = { bytes: 4 * size, at: 0, first: this.#steps.length, last: this.#steps.length, slot: 0 };
    return { shape, size, storage };
  }

  /** The same values under another shape. */
  view(tensor: Tensor, shape: readonly number[]): Tensor {
    const size = shape.reduce((n, d) => n * d, 1);
    if (size !== tensor.size)
      throw new Refusal(`expected a shape of ${tensor.size} elements, got [${shape}]`, 'shape-mismatch');
    return { shape, size, storage: tensor.storage };
  }

  step(reads: readonly Tensor[], writes: readonly Tensor[], run: () => void, isInPlace = false): void {
    const now = this.#steps.length;
    for (const { storage } of reads) storage.last = now;
    for (const { storage } of writes) storage.last = Math.max(storage.last, now);
    this.#steps.push({ reads, writes, isInPlace, run });
  }

  /** A range that the producer of `tensor` widens itself. */
  ownRange(tensor: Tensor): number {
    tensor.storage.slot = this.slot();
    return tensor.storage.slot;
  }

  /** The same range as that of a tensor that holds all of its values. */
  shareRange(tensor: Tensor, source: Tensor): void {
    tensor.storage.slot = source.storage.slot;
  }

  /** A range that is cleared before each run. */
  slot(): number {
    const at = this.allocate(8);
    this.#slots.push(at);
    return at;
  }

  /** The range of a tensor, found by a step of its own where its producer did not. */
  rangeOf(tensor: Tensor): number {
    const { storage, size } = tensor;
    if (storage.slot === 0) {
      const slot = this.ownRange(tensor);
      this.step([tensor], [], () => this.kernels.range(storage.at, size, slot));
    }
    return storage.slot;
  }

  /** Gives tensors their places and writes the records. @param inputs, outputs tensors that live before the first and after the last step */
  finish(inputs: readonly Tensor[], outputs: readonly Tensor[]): void {
    this.sizes.weights = this.#top - this.kernels.base;
    for (const { storage } of inputs) storage.first = -1;
    for (const { storage } of outputs) storage.last = this.#steps.length;
    for (const room of this.#rooms.values()) {
      room.at = this.#top;
      this.#top = aligned(this.#top + room.bytes + SLACK);
    }
    this.sizes.rooms = this.#top - this.kernels.base - this.sizes.weights;
    this.#placeTensors(inputs);
    this.#reserve(this.#top);
    for (const { at, fields } of this.#records) writeRecord(this.kernels.memory.buffer, at, fields());
    this.floats = new Float32Array(this.kernels.memory.buffer);
    this.words = new Int32Array(this.kernels.memory.buffer);
    this.#isOpen = false;
  }

  /** First fit, in the order of the steps. */
  #placeTensors(inputs: readonly Tensor[]): void {
    const base = this.#top;
    const live: Storage[] = [];
    const placed = new Set<Storage>();
    const place = (storage: Storage) => {
      const need = aligned(storage.bytes + SLACK);
      let at = base;
      for (const other of live) {
        if (at + need <= other.at) break;
        at = Math.max(at, other.at + aligned(other.bytes + SLACK));
      }
      storage.at = at;
      live.push(storage);
      live.sort((a, b) => a.at - b.at);
      this.#top = Math.max(this.#top, at + need);
    };
    const add = (storage: Storage) => {
      if (placed.has(storage)) return;
      placed.add(storage);
      place(storage);
    };
    for (const { storage } of inputs) add(storage);
    this.#steps.forEach(({ reads, writes, isInPlace }, now) => {
      const [source, target] = [reads[0]?.storage, writes[0]?.storage];
      const canShare = isInPlace && source && target && source !== target && !placed.has(target);
      if (canShare && source.last === now && source.bytes === target.bytes) {
        placed.add(target);
        target.at = source.at;
        live.splice(live.indexOf(source), 1, target);
      }
      for (const { storage } of writes) add(storage);
      for (let i = live.length - 1; i >= 0; i--) if ((live[i] as Storage).last <= now) live.splice(i, 1);
    });
    this.sizes.tensors = this.#top - base;
  }

  /** Number of steps. */
  get length(): number {
    return this.#steps.length;
  }

  /** Runs all steps over what lies in the inputs. */
  run(): void {
    if (this.#isOpen) throw new Error('a program runs once it is finished');
    const { words } = this;
    for (const at of this.#slots) {
      words[at >> 2] = 0;
      words[(at >> 2) + 1] = 0;
    }
    for (const { run } of this.#steps) run();
  }
}
