// The wire format of Protocol Buffers, as far as ONNX files need it: https://protobuf.dev/programming-guides/encoding
// A message is a row of fields: `number << 3 | type`, then a varint (type 0), 4 bytes (5) or a length and bytes (2).
import { type LazyBytes, madeBytes } from '../export/values.js';

type Part = Uint8Array | LazyBytes;

const VARINT = 0;
const LENGTH = 2;
const FIXED32 = 5;
const encoder = new TextEncoder();

/** A whole number of up to 53 bits as a varint: seven bits a byte, lowest first; negative ones as 64-bit two's complement. */
export function varint(value: number): Uint8Array {
  if (!Number.isSafeInteger(value)) throw new RangeError(`"value" expected a whole number, got ${value}`);
  const out: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  do {
    const low = Number(rest & 127n);
    rest >>= 7n;
    out.push(rest > 0n ? low | 128 : low);
  } while (rest > 0n);
  return Uint8Array.from(out);
}

/** A message while it is put together. Fields are written in the order in which they are added. */
export class Message {
  readonly #parts: Part[] = [];
  #length = 0;

  /** Bytes of its fields. */
  get length(): number {
    return this.#length;
  }

  /** An enum or a whole number. */
  int(field: number, value: number): this {
    return this.#tag(field, VARINT).#push(varint(value));
  }

  float(field: number, value: number): this {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setFloat32(0, value, true);
    return this.#tag(field, FIXED32).#push(bytes);
  }

  /** Text; none for an empty one. */
  text(field: number, value: string): this {
    return value === '' ? this : this.texts(field, [value]);
  }

  /** A repeated text, empty ones included. */
  texts(field: number, values: readonly string[]): this {
    for (const value of values) this.bytes(field, encoder.encode(value));
    return this;
  }

  bytes(field: number, value: Part): this {
    return this.#tag(field, LENGTH).#push(varint(value.length)).#push(value);
  }

  message(field: number, value: Message): this {
    this.#tag(field, LENGTH).#push(varint(value.#length));
    for (const part of value.#parts) this.#push(part);
    return this;
  }

  messages(field: number, values: Iterable<Message>): this {
    for (const value of values) this.message(field, value);
    return this;
  }

  /** Its bytes in pieces, those that are lazy made one at a time. @throws RangeError where one has another length than it said */
  *pieces(): Generator<Uint8Array> {
    let gathered: Uint8Array[] = [];
    let size = 0;
    const joined = () => {
      const out = new Uint8Array(size);
      let at = 0;
      for (const part of gathered) {
        out.set(part, at);
        at += part.length;
      }
      gathered = [];
      size = 0;
      return out;
    };
    for (const part of this.#parts) {
      if (part instanceof Uint8Array && part.length < 65_536) {
        gathered.push(part);
        size += part.length;
        if (size >= 65_536) yield joined();
        continue;
      }
      if (size > 0) yield joined();
      yield madeBytes(part);
    }
    if (size > 0) yield joined();
  }

  #tag(field: number, type: number): this {
    return this.#push(varint(field * 8 + type));
  }

  #push(part: Part): this {
    this.#parts.push(part);
    this.#length += part.length;
    return this;
  }
}
