import { DTYPE_BYTES, type Dtype } from '../model.js';
import { sizeOf } from '../shape.js';

/** A dataset to be written: its values are asked for when the file is, and once each time. */
export interface Hdf5Dataset {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** `sizeOf(shape)` little-endian numbers, C order, whole or piece by piece. */
  readonly values: () => Iterable<Uint8Array>;
}

/** A group to be written: what is in it, and attributes of text. */
export interface Hdf5Group {
  readonly attributes?: Readonly<Record<string, string>>;
  readonly members: ReadonlyMap<string, Hdf5Group | Hdf5Dataset>;
}

/** A file of HDF5 as it will be written. */
export interface Hdf5File {
  readonly bytes: number;
  pieces(): Generator<Uint8Array>;
}

const isDataset = (item: Hdf5Group | Hdf5Dataset): item is Hdf5Dataset => 'dtype' in item;

const SUPERBLOCK_BYTES = 96;
const PREFIX_BYTES = 16;
const UNDEFINED = 0xffff_ffff_ffff_ffffn;
/** The size of a message is a 16-bit number. */
const MAX_MESSAGE_BYTES = 0xfff8;
/** So is the number of messages of an object; an attribute and two messages of the group itself are among them. */
export const MAX_MEMBERS = 0xffff - 16;

const TYPE = {
  dataspace: 1,
  linkInfo: 2,
  datatype: 3,
  fill: 5,
  link: 6,
  layout: 8,
  groupInfo: 10,
  attribute: 12,
} as const;

const eights = (size: number) => Math.ceil(size / 8) * 8;

/** Little-endian numbers, one after the other. */
class Fields {
  readonly #bytes: number[] = [];

  u8(...values: readonly number[]): this {
    this.#bytes.push(...values.map((value) => value & 255));
    return this;
  }

  u16(value: number): this {
    return this.u8(value, value >> 8);
  }

  u32(value: number): this {
    return this.u16(value & 0xffff).u16(value >>> 16);
  }

  u64(value: number | bigint): this {
    const wide = BigInt(value);
    return this.u32(Number(wide & 0xffff_ffffn)).u32(Number(wide >> 32n));
  }

  raw(bytes: Iterable<number>): this {
    for (const byte of bytes) this.#bytes.push(byte);
    return this;
  }

  get bytes(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }
}

/** Sign, exponent and mantissa of each float: bits in all, where the exponent begins, its bits, its bias. */
const FLOATS: Readonly<Record<string, readonly [bits: number, at: number, exponent: number, bias: number]>> =
  {
    F16: [16, 10, 5, 15],
    BF16: [16, 7, 8, 127],
    F32: [32, 23, 8, 127],
    F64: [64, 52, 11, 1023],
  };

/** Datatype message, version 1: floats of class 1, integers of class 0; booleans are bytes. */
function datatype(dtype: Dtype): Uint8Array {
  const size = DTYPE_BYTES[dtype];
  const float = FLOATS[dtype];
  if (float) {
    const [bits, at, exponent, bias] = float;
    return new Fields()
      .u8(0x11, 0x20, bits - 1, 0)
      .u32(size)
      .u16(0)
      .u16(bits)
      .u8(at, exponent, 0, at)
      .u32(bias).bytes;
  }
  const signed = dtype.startsWith('I') ? 8 : 0;
  return new Fields()
    .u8(0x10, signed, 0, 0)
    .u32(size)
    .u16(0)
    .u16(8 * size).bytes;
}

/** Dataspace message, version 1. */
const dataspace = (shape: readonly number[]): Uint8Array =>
  shape.reduce((fields, length) => fields.u64(length), new Fields().u8(1, shape.length, 0, 0).u32(0)).bytes;

/** Attribute message, version 3: a text of fixed length in UTF-8. */
function attribute(name: string, text: string): Uint8Array {
  const own = new TextEncoder().encode(name);
  const value = new TextEncoder().encode(text);
  const size = value.length + 1;
  const type = new Fields().u8(0x13, 0x10, 0, 0).u32(size).bytes;
  const space = dataspace([]);
  return new Fields()
    .u8(3, 0)
    .u16(own.length + 1)
    .u16(type.length)
    .u16(space.length)
    .u8(1)
    .raw(own)
    .u8(0)
    .raw(type)
    .raw(space)
    .raw(value)
    .u8(0).bytes;
}

/** Link message, version 1: a hard link, its name in UTF-8. */
const link = (name: Uint8Array, address: number): Uint8Array =>
  new Fields().u8(1, 0x11, 1).u16(name.length).raw(name).u64(address).bytes;

/** An object of the file: how long its header is, and the header once addresses are known. */
interface Placed {
  readonly item: Hdf5Group | Hdf5Dataset;
  readonly children: readonly { readonly name: Uint8Array; readonly placed: Placed }[];
  headerAt: number;
  dataAt: number;
}

const dataBytes = ({ dtype, shape }: Hdf5Dataset) => DTYPE_BYTES[dtype] * sizeOf(shape);

/** Messages of an object's header. */
function messages({ item, children, dataAt }: Placed): (readonly [type: number, body: Uint8Array])[] {
  if (isDataset(item)) {
    const size = dataBytes(item);
    const layout = new Fields()
      .u8(3, 1)
      .u64(size === 0 ? UNDEFINED : dataAt)
      .u64(size).bytes;
    return [
      [TYPE.dataspace, dataspace(item.shape)],
      [TYPE.datatype, datatype(item.dtype)],
      // Version 2, space at once, no value of its own: zeros.
      [TYPE.fill, new Fields().u8(2, 1, 2, 1).u32(0).bytes],
      [TYPE.layout, layout],
    ];
  }
  return [
    [TYPE.linkInfo, new Fields().u8(0, 0).u64(UNDEFINED).u64(UNDEFINED).bytes],
    [TYPE.groupInfo, new Fields().u8(0, 0).bytes],
    ...children.map(({ name, placed }) => [TYPE.link, link(name, placed.headerAt)] as const),
    ...Object.entries(item.attributes ?? {}).map(
      ([name, text]) => [TYPE.attribute, attribute(name, text)] as const,
    ),
  ];
}

/** Object header, version 1: all messages in its first block. */
function header(placed: Placed): Uint8Array {
  const all = messages(placed);
  const size = all.reduce((sum, [, body]) => sum + 8 + eights(body.length), 0);
  const out = new Uint8Array(PREFIX_BYTES + size);
  const view = new DataView(out.buffer);
  out[0] = 1;
  view.setUint16(2, all.length, true);
  view.setUint32(4, 1, true);
  view.setUint32(8, size, true);
  let at = PREFIX_BYTES;
  for (const [type, body] of all) {
    const length = eights(body.length);
    if (length > MAX_MESSAGE_BYTES) throw new RangeError(`an HDF5 message of ${length} bytes is too long`);
    view.setUint16(at, type, true);
    view.setUint16(at + 2, length, true);
    out.set(body, at + 8);
    at += 8 + length;
  }
  return out;
}

function superblock(end: number): Uint8Array {
  return (
    new Fields()
      .raw([0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a])
      .u8(0, 0, 0, 0, 0, 8, 8, 0)
      // Nodes of B-trees, of which there are none.
      .u16(4)
      .u16(16)
      .u32(0)
      .u64(0)
      .u64(UNDEFINED)
      .u64(end)
      .u64(UNDEFINED)
      // The root group: its name, its header, nothing kept of it.
      .u64(0)
      .u64(SUPERBLOCK_BYTES)
      .u64(0)
      .u64(0)
      .u64(0).bytes
  );
}

/**
 * A file of HDF5 with groups, attributes of text and datasets that lie in one piece, piece by piece: superblock of version 0,
 * object headers of version 1, links in the headers of their groups. HDF5 1.8 and later read it. Headers come first, then
 * data in the order of the groups, so that nothing but headers is held and the same input gives the same bytes.
 *
 * Source: the HDF5 File Format Specification, version 3.0, sections II.A, IV.A.1 and IV.A.2.
 *
 * @throws RangeError for a group of more than {@link MAX_MEMBERS} members, and for names beyond 64 KiB
 */
export function hdf5File(root: Hdf5Group): Hdf5File {
  const order: Placed[] = [];
  const visit = (item: Hdf5Group | Hdf5Dataset): Placed => {
    const members = isDataset(item) ? [] : [...item.members];
    if (members.length > MAX_MEMBERS)
      throw new RangeError(`an HDF5 group of ${members.length} members, expected at most ${MAX_MEMBERS}`);
    const children: { readonly name: Uint8Array; readonly placed: Placed }[] = [];
    const placed: Placed = { item, children, headerAt: 0, dataAt: 0 };
    order.push(placed);
    for (const [name, member] of members)
      children.push({ name: new TextEncoder().encode(name), placed: visit(member) });
    return placed;
  };
  visit(root);
  let at = SUPERBLOCK_BYTES;
  for (const placed of order) {
    placed.headerAt = at;
    at += header(placed).length;
  }
  for (const placed of order) {
    if (!isDataset(placed.item)) continue;
    placed.dataAt = at;
    at += eights(dataBytes(placed.item));
  }
  const bytes = at;
  return {
    bytes,
    *pieces() {
      yield superblock(bytes);
      for (const placed of order) yield header(placed);
      for (const { item } of order) {
        if (!isDataset(item)) continue;
        let size = 0;
        for (const piece of item.values()) {
          size += piece.length;
          yield piece;
        }
        if (size !== dataBytes(item))
          throw new RangeError(`a dataset [${item.shape}] of ${item.dtype} was given ${size} bytes`);
        if (size % 8 !== 0) yield new Uint8Array(8 - (size % 8));
      }
    },
  };
}
