import { sizeOf } from '../shape.js';
import type { Crew } from './crew.js';
import { Ledger } from './ledger.js';
import { placeTensors } from './placement.js';
import { type LayerRecord, RECORD_BYTES, RUN_BYTES, writeRecord } from './record.js';
import { Refusal, refuse, requireRoom } from './refusal.js';
import type { Sharing } from './sharing.js';
import { aligned, SLACK, type Storage, type Tensor } from './tensor.js';
import type { Kernels } from './types.js';

export type { Tensor } from './tensor.js';

/** What runs, with everything decided but the addresses of tensors. */
interface Step {
  readonly reads: readonly Tensor[];
  readonly writes: readonly Tensor[];
  /** The first tensor written may lie where the first read lies, if nobody needs that any more. */
  readonly isInPlace: boolean;
  readonly run: () => void;
  /** Place of its layer in the ledger. */
  readonly owner: number;
}

/** Steps that are run several times over, each with its own number. */
interface Loop {
  readonly first: number;
  readonly last: number;
  readonly count: number;
  /** Ranges that are cleared before each turn. */
  readonly slots: readonly number[];
  readonly turn: (t: number) => void;
}

/** Memory that steps share, one after the other. */
export type Room = 'stage' | 'work' | `${'panel' | 'transformed' | 'sums'} ${number}`;

/** A room that each part of a layer has for itself. */
export const roomOf = (name: 'panel' | 'transformed' | 'sums', part: number): Room => `${name} ${part}`;

const nothing = () => {};

function requireSize(size: number, shape: readonly number[]): void {
  if (sizeOf(shape) !== size)
    throw new Refusal(`expected a shape of ${size} elements, got [${shape}]`, 'shape-mismatch');
}

/**
 * Steps over tensors in the memory of one set of kernels: weights at the bottom, then rooms that steps share, then tensors, which
 * share bytes where their lives do not meet. Nothing is allocated once it is {@link Program.finish}ed.
 */
export class Program {
  readonly #steps: Step[] = [];
  readonly #rooms = new Map<Room, { bytes: number; at: number }>();
  readonly #records: { readonly at: number; readonly fields: () => Partial<LayerRecord> }[] = [];
  readonly #names = new Map<Storage, string>();
  /** Ranges that are known before: written once. */
  readonly #fixed: { readonly at: number; readonly largest: number }[] = [];
  /** Tensors of which integers are made, and where their ranges are measured. */
  readonly #measured = new Map<string, number>();
  #slots: number[] = [];
  readonly #loops: Loop[] = [];
  readonly #shared = new WeakMap<object, Map<string, unknown>>();
  #top: number;
  #isOpen = true;
  /** All of memory, once the program is finished. */
  floats: Float32Array<ArrayBufferLike> = new Float32Array(0);
  words: Int32Array<ArrayBufferLike> = new Int32Array(0);
  readonly ledger = new Ledger();
  /** Bytes of weights, of shared rooms, and of tensors. */
  readonly sizes = { weights: 0, rooms: 0, tensors: 0 };

  /** Threads beside this one, once there are any. */
  crew: Crew | undefined;
  readonly #partSlots: readonly number[];

  /**
   * @param limit bytes of memory at most, weights included
   * @param threads parts that a layer is computed in, at most
   * @param sharing splits layers, where there are several threads
   */
  constructor(
    readonly kernels: Kernels,
    readonly limit = 2 ** 31,
    readonly threads = 1,
    readonly sharing?: Sharing,
  ) {
    this.#top = kernels.base;
    this.#partSlots = threads > 1 ? Array.from({ length: threads }, () => this.allocate(8)) : [];
  }

  /**
   * What is made of an array once, however many layers use it.
   *
   * @param array what it is made of @param form names what is made of it
   */
  once<T>(array: object, form: string, make: () => T): T {
    const forms = this.#shared.get(array) ?? new Map<string, unknown>();
    this.#shared.set(array, forms);
    if (!forms.has(form)) forms.set(form, make());
    return forms.get(form) as T;
  }

  /** Range of the outputs of a part: cleared by who reads it. */
  partSlot(part: number): number {
    return this.#partSlots[part] as number;
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
    this.ledger.keep(this.#top - at);
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
    const size = sizeOf(shape);
    if (!shape.every((n) => Number.isSafeInteger(n) && n >= 0)) refuse(`a tensor of shape [${shape}]`);
    requireRoom(4 * size, this.limit);
    const storage = {
      bytes: 4 * size,
      at: 0,
      first: this.#steps.length,
      last: this.#steps.length,
      slot: 0,
      isConstant: false,
    };
    return { shape, size, storage };
  }

  /** Values that are always the same. @throws Refusal `shape-mismatch` */
  constant(values: Float32Array, shape: readonly number[]): Tensor {
    requireSize(values.length, shape);
    const at = this.put(values);
    const storage = { bytes: values.byteLength, at, first: 0, last: 0, slot: 0, isConstant: true };
    return { shape, size: values.length, storage };
  }

  /**
   * Steps that `body` adds, run `count` times.
   *
   * @param reads, writes tensors of outside, of which each turn takes and gives a part
   * @param body is given a function that says which turn it is, for steps
   */
  loop<T>(
    count: number,
    reads: readonly Tensor[],
    writes: readonly Tensor[],
    body: (turn: () => number) => T,
  ): T {
    let now = 0;
    const outer = this.#slots;
    this.#slots = [];
    const first = this.#steps.length;
    // Both live from the first turn to the last.
    this.step(reads, writes, nothing);
    const result = this.ledger.repeat(count, () => body(() => now));
    this.step([...reads, ...writes], [], nothing);
    const turn = (t: number) => {
      now = t;
    };
    this.#loops.push({ first, last: this.#steps.length, count, slots: this.#slots, turn });
    this.#slots = outer;
    return result;
  }

  /** The same values under another shape. @throws Refusal `shape-mismatch` */
  view(tensor: Tensor, shape: readonly number[]): Tensor {
    requireSize(tensor.size, shape);
    return { shape, size: tensor.size, storage: tensor.storage };
  }

  step(reads: readonly Tensor[], writes: readonly Tensor[], run: () => void, isInPlace = false): void {
    const now = this.#steps.length;
    for (const { storage } of reads) storage.last = now;
    for (const { storage } of writes) storage.last = Math.max(storage.last, now);
    this.#steps.push({ reads, writes, isInPlace, run, owner: this.ledger.step() });
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

  /** Gives a tensor the name that its range is stored under. */
  name(tensor: Tensor, name: string): void {
    if (!this.#names.has(tensor.storage)) this.#names.set(tensor.storage, name);
  }

  nameOf(tensor: Tensor): string | undefined {
    return this.#names.get(tensor.storage);
  }

  /** A range that is the same in each run, of values that may be negative. */
  fixedRange(largest: number): number {
    const at = this.allocate(8);
    this.#fixed.push({ at, largest });
    return at;
  }

  /** Largest magnitudes in the run before, of named tensors of which integers are made. */
  *largest(): Generator<readonly [name: string, largest: number]> {
    for (const [name, slot] of this.#measured) yield [name, this.floats[slot >> 2] as number];
  }

  /** The range of a tensor, found by a step of its own where its producer did not. */
  rangeOf(tensor: Tensor): number {
    const { storage, size } = tensor;
    if (storage.slot === 0) {
      const slot = this.ownRange(tensor);
      this.step([tensor], [], () => this.kernels.range(storage.at, size, slot));
    }
    const name = this.nameOf(tensor);
    if (name !== undefined) this.#measured.set(name, storage.slot);
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
    const base = this.#top;
    this.#top = placeTensors(this.#steps, inputs, base);
    this.sizes.tensors = this.#top - base;
    this.#reserve(this.#top);
    for (const { at, fields } of this.#records) writeRecord(this.kernels.memory.buffer, at, fields());
    this.floats = new Float32Array(this.kernels.memory.buffer);
    this.words = new Int32Array(this.kernels.memory.buffer);
    for (const { at, largest } of this.#fixed) {
      this.floats[at >> 2] = largest;
      this.words[(at >> 2) + 1] = -1;
    }
    this.#isOpen = false;
  }

  /** Number of steps. */
  get length(): number {
    return this.#steps.length;
  }

  /** Runs all steps over what lies in the inputs. */
  run(): void {
    this.#runAll(this.#runSteps);
  }

  /** {@link run}, with the milliseconds of each layer of the ledger added to `times`. */
  runTimed(times: Float64Array): void {
    let before = performance.now();
    this.#runAll((from, to) => {
      for (let i = from; i < to; i++) {
        const { run, owner } = this.#steps[i] as Step;
        run();
        const now = performance.now();
        if (owner >= 0) times[owner] = (times[owner] as number) + now - before;
        before = now;
      }
    });
  }

  #runAll(runSteps: (from: number, to: number) => void): void {
    if (this.#isOpen) throw new Error('a program runs once it is finished');
    this.#clear(this.#slots);
    let at = 0;
    for (const { first, last, count, slots, turn } of this.#loops) {
      runSteps(at, first);
      for (let t = 0; t < count; t++) {
        turn(t);
        this.#clear(slots);
        runSteps(first, last);
      }
      at = last;
    }
    runSteps(at, this.#steps.length);
  }

  readonly #runSteps = (from: number, to: number): void => {
    for (let i = from; i < to; i++) (this.#steps[i] as Step).run();
  };

  #clear(slots: readonly number[]): void {
    const { words } = this;
    for (const at of slots) {
      words[at >> 2] = 0;
      words[(at >> 2) + 1] = 0;
    }
  }
}
