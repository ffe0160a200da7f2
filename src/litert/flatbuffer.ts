// The binary format of FlatBuffers, as far as .tflite files need it: https://flatbuffers.dev/internals
// A table is a signed distance back to its vtable, then its fields; a vtable is its length, that of the table, and where each
// field stands in it, 0 for one that is left out. Strings, vectors and tables are pointed to by their distance, forwards.
// The order is the reader's: what points comes before what is pointed to, so that positions follow from lengths alone and
// the bytes of large vectors are made when they are written.
import { type LazyBytes, madeBytes } from '../export/values.js';

/** Anything that is pointed to. */
export type Node = Table | Vector;

const SIZES = { bool: 1, int8: 1, uint8: 1, int32: 4, uint32: 4, float32: 4 } as const;
type Scalar = keyof typeof SIZES;

interface Field {
  readonly slot: number;
  readonly kind: Scalar | 'node';
  readonly value: number | Node;
}

const sizeOfField = ({ kind }: Field) => (kind === 'node' ? 4 : SIZES[kind]);

/** A table: fields by their slots, which is the order of the schema counted from 0; those with the default value are left out. */
export class Table {
  readonly fields: Field[] = [];

  scalar(slot: number, kind: Scalar, value: number, fallback = 0): this {
    if (value !== fallback) this.fields.push({ slot, kind, value });
    return this;
  }

  node(slot: number, value: Node | undefined): this {
    if (value) this.fields.push({ slot, kind: 'node', value });
    return this;
  }

  text(slot: number, value: string): this {
    return this.node(slot, Vector.text(value));
  }

  tables(slot: number, values: readonly Node[]): this {
    return this.node(slot, Vector.nodes(values));
  }

  ints(slot: number, values: readonly number[]): this {
    return this.node(slot, Vector.bytes(new Uint8Array(Int32Array.from(values).buffer), values.length));
  }
}

/** A vector or a string: how many elements, then what they are. */
export class Vector {
  private constructor(
    readonly count: number,
    readonly data: Uint8Array | LazyBytes | readonly Node[],
    /** What the position of the first element is a multiple of. */
    readonly alignment: number,
    /** Bytes behind the elements: the zero that ends a string. */
    readonly end = 0,
  ) {}

  static bytes(data: Uint8Array | LazyBytes, count = data.length, alignment = 4): Vector {
    return new Vector(count, data, alignment);
  }

  static text(value: string): Vector {
    const data = new TextEncoder().encode(value);
    return new Vector(data.length, data, 4, 1);
  }

  static nodes(values: readonly Node[]): Vector {
    return new Vector(values.length, values, 4);
  }

  get isNodes(): boolean {
    return Array.isArray(this.data);
  }

  /** Bytes of its elements. */
  get length(): number {
    return this.isNodes ? 4 * this.count : (this.data as Uint8Array | LazyBytes).length;
  }
}

const aligned = (at: number, to: number) => Math.ceil(at / to) * to;

/** Where a table's fields stand in it: the wide ones first, so that nothing lies between them. */
function placesOf(table: Table): { readonly places: ReadonlyMap<number, number>; readonly length: number } {
  const places = new Map<number, number>();
  let at = 4;
  for (const field of [...table.fields].sort((a, b) => sizeOfField(b) - sizeOfField(a))) {
    places.set(field.slot, at);
    at += sizeOfField(field);
  }
  return { places, length: at };
}

function vtableOf(table: Table): Uint8Array {
  const { places, length } = placesOf(table);
  const slots = Math.max(-1, ...places.keys()) + 1;
  const out = new DataView(new ArrayBuffer(4 + 2 * slots));
  out.setUint16(0, out.byteLength, true);
  out.setUint16(2, length, true);
  for (const [slot, at] of places) out.setUint16(4 + 2 * slot, at, true);
  return new Uint8Array(out.buffer);
}

interface Placed {
  readonly at: number;
  /** What stands there: bytes that are made when they are asked for. */
  readonly bytes: Uint8Array | LazyBytes;
}

/** A file that is laid out: its length is known, its bytes are made as they are written. */
export interface FlatBuffer {
  readonly length: number;
  pieces(): Iterable<Uint8Array>;
}

/** Lays out a table and all that it points to. @param identifier four letters that name the schema */
export function layOut(root: Table, identifier: string): FlatBuffer {
  const placed: Placed[] = [];
  const positions = new Map<Node, number>();
  const vtables = new Map<string, number>();
  let end = 8;
  const place = (bytes: Uint8Array | LazyBytes, alignment: number): number => {
    const at = aligned(end, alignment);
    placed.push({ at, bytes });
    end = at + bytes.length;
    return at;
  };
  const queue: Node[] = [root];
  for (let next = 0; next < queue.length; next++) {
    const node = queue[next] as Node;
    if (node instanceof Table) {
      const vtable = vtableOf(node);
      const key = vtable.join();
      const known = vtables.get(key);
      const back = known ?? place(vtable, 2);
      vtables.set(key, back);
      const at = aligned(end, 4);
      positions.set(node, at);
      const { length } = placesOf(node);
      place({ length, bytes: () => tableBytes(node, at, at - back, positions) }, 4);
      for (const { value } of node.fields) if (typeof value !== 'number') queue.push(value);
      continue;
    }
    // Its length stands right before the first element, which is aligned.
    const first = aligned(end + 4, Math.max(node.alignment, 4));
    positions.set(node, first - 4);
    const count = new Uint8Array(Uint32Array.of(node.count).buffer);
    placed.push({ at: first - 4, bytes: count });
    end = first;
    if (node.isNodes) {
      const nodes = node.data as readonly Node[];
      place({ length: node.length, bytes: () => distances(nodes, first, positions) }, 4);
      for (const one of nodes) queue.push(one);
    } else place(node.data as Uint8Array | LazyBytes, 1);
    end += node.end;
  }
  const head = new Uint8Array(8);
  new DataView(head.buffer).setUint32(0, positions.get(root) as number, true);
  head.set(new TextEncoder().encode(identifier), 4);
  const length = aligned(end, 16);
  return { length, pieces: () => written([{ at: 0, bytes: head }, ...placed], length) };
}

function tableBytes(
  table: Table,
  at: number,
  back: number,
  positions: ReadonlyMap<Node, number>,
): Uint8Array {
  const { places, length } = placesOf(table);
  const view = new DataView(new ArrayBuffer(length));
  view.setInt32(0, back, true);
  for (const { slot, kind, value } of table.fields) {
    const to = places.get(slot) as number;
    if (typeof value !== 'number') view.setUint32(to, (positions.get(value) as number) - (at + to), true);
    else if (kind === 'float32') view.setFloat32(to, value, true);
    else if (SIZES[kind as Scalar] === 4) view.setInt32(to, value, true);
    else view.setInt8(to, value);
  }
  return new Uint8Array(view.buffer);
}

function distances(nodes: readonly Node[], at: number, positions: ReadonlyMap<Node, number>): Uint8Array {
  const out = new DataView(new ArrayBuffer(4 * nodes.length));
  nodes.forEach((node, i) => {
    out.setUint32(4 * i, (positions.get(node) as number) - (at + 4 * i), true);
  });
  return new Uint8Array(out.buffer);
}

/** Pieces of a file with zeros between them: small ones joined, large ones as they are made. */
function* written(placed: readonly Placed[], length: number): Generator<Uint8Array> {
  const LARGE = 65_536;
  let gathered = new Uint8Array(LARGE);
  let used = 0;
  let at = 0;
  function* flush(): Generator<Uint8Array> {
    if (used > 0) yield gathered.subarray(0, used);
    gathered = new Uint8Array(LARGE);
    used = 0;
  }
  function* put(bytes: Uint8Array): Generator<Uint8Array> {
    if (used + bytes.length > LARGE) yield* flush();
    if (bytes.length > LARGE) yield bytes;
    else {
      gathered.set(bytes, used);
      used += bytes.length;
    }
    at += bytes.length;
  }
  for (const { at: to, bytes } of placed) {
    if (to > at) yield* put(new Uint8Array(to - at));
    yield* put(madeBytes(bytes));
  }
  if (length > at) yield* put(new Uint8Array(length - at));
  yield* flush();
}
