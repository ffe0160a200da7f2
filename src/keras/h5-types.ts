import { BitnibbleError } from '../errors.js';
import type { Dtype } from '../model.js';
import type { Metadata } from './h5-library.js';
import type { H5Dataset } from './hdf5.js';
import type { ByteSource } from './source.js';
import { superblockAt } from './superblock.js';

/** Class of floating-point numbers. */
export const FLOAT = 1;

/**
 * A dataset's number type, or undefined where no weight has it (strings, compounds, references). Floats of one and two
 * bytes have several layouts. h5py stores bfloat16 as two opaque bytes.
 */
function datasetDtype(
  { type, size, signed, enum_type }: Metadata,
  layout: FloatLayout | undefined,
): Dtype | undefined {
  if (type === FLOAT && layout) return dtypeOfLayout(layout);
  if (type === FLOAT) return ({ 4: 'F32', 8: 'F64' } as const)[size as 4 | 8];
  if (type === 5 && size === 2) return 'BF16';
  if (type === 8 && enum_type && size === 1) return 'BOOL';
  if (type !== 0 || ![1, 2, 4, 8].includes(size)) return undefined;
  return `${signed ? 'I' : 'U'}${size * 8}` as Dtype;
}

/**
 * Where an HDF5 float keeps its sign, exponent and mantissa: the datatype message of class 1. HDF5 File Format
 * Specification, version 3.0, section IV.A.2.d.
 */
interface FloatLayout {
  readonly bytes: number;
  readonly exponentBits: number;
  readonly bias: number;
  readonly mantissaBits: number;
  /** Sign, exponent, mantissa from the highest bit down without gaps, with a hidden first bit: as IEEE 754 has them. */
  readonly isPlain: boolean;
}

/** Types of floats by their bytes, exponent bits and bias. */
const KNOWN: readonly (readonly [dtype: Dtype, bytes: number, exponentBits: number, bias: number])[] = [
  ['F16', 2, 5, 15],
  ['BF16', 2, 8, 127],
  ['F32', 4, 8, 127],
  ['F64', 8, 11, 1023],
];

/** The number type of a layout; undefined where none of ours has it. */
function dtypeOfLayout({ bytes, exponentBits, bias, isPlain }: FloatLayout): Dtype | undefined {
  return KNOWN.find(
    (type) => isPlain && type[1] === bytes && type[2] === exponentBits && type[3] === bias,
  )?.[0];
}

/** A layout in words, for messages. */
const layoutText = ({ bytes, exponentBits, bias, mantissaBits }: FloatLayout): string =>
  `floating-point numbers of ${8 * bytes} bits with ${exponentBits} for the exponent (bias ${bias}) and ${mantissaBits} for the mantissa`;

const DATATYPE = 3;
const CONTINUATION = 0x10;
const SHARED = 2;
/** An object header has a few messages in one or two blocks; more is a fault of the file. */
const MAX_BLOCKS = 64;
const MAX_BLOCK_BYTES = 2 ** 20;
/** Layout of sizes and offsets in files of all writers of Keras: 8 bytes, as h5py's default has it. */
const WORD = 8;

/**
 * The layout of a dataset's floats, read from the object header at `address`: HDF5 itself knows it, and h5wasm has no
 * call that tells. Undefined where the header is of another form than h5py and HDF5 write.
 *
 * @param base bytes of the file before HDF5's own
 */
function floatLayout(source: ByteSource, address: number, base: number): FloatLayout | undefined {
  const reader = new HeaderReader(source, base);
  const type = reader.datatype(address);
  return type && layoutOf(type);
}

function layoutOf(message: DataView): FloatLayout | undefined {
  if (message.byteLength < 20 || (message.getUint8(0) & 15) !== FLOAT) return undefined;
  const flags = message.getUint8(1);
  const sign = message.getUint8(2);
  const bytes = message.getUint32(4, true);
  const [offset, precision] = [message.getUint16(8, true), message.getUint16(10, true)];
  const [exponentAt, exponentBits] = [message.getUint8(12), message.getUint8(13)];
  const [mantissaAt, mantissaBits] = [message.getUint8(14), message.getUint8(15)];
  const isVax = (flags & 0x40) !== 0;
  const hasHiddenBit = ((flags >> 4) & 3) === 2;
  const isPlain =
    !isVax &&
    hasHiddenBit &&
    offset === 0 &&
    precision === 8 * bytes &&
    sign === precision - 1 &&
    exponentAt + exponentBits === sign &&
    mantissaAt === 0 &&
    mantissaBits === exponentAt;
  return { bytes, exponentBits, bias: message.getUint32(16, true), mantissaBits, isPlain };
}

/** The number type of the floats that a datatype message of class 1 tells of; undefined where none of ours is so. */
export function floatDtype(message: DataView): Dtype | undefined {
  const layout = layoutOf(message);
  return layout && dtypeOfLayout(layout);
}

/** The layouts of floats in a file's datasets, which do not change: asking takes 200 microseconds. */
export class FloatLayouts {
  readonly #known = new Map<string, FloatLayout>();

  constructor(
    readonly source: ByteSource,
    /** The address of a dataset's object header, as 8 bytes: an object reference is that. */
    readonly reference: (path: string) => ArrayLike<number>,
  ) {}

  /** Undefined where the header cannot be read. */
  of(path: string): FloatLayout | undefined {
    const known = this.#known.get(path);
    if (known) return known;
    const address = new DataView(Uint8Array.from(this.reference(path)).buffer).getBigUint64(0, true);
    const layout = floatLayout(this.source, Number(address), superblockAt(this.source) ?? 0);
    if (layout) this.#known.set(path, layout);
    return layout;
  }

  /** @throws BitnibbleError `unsupported-dtype` for floats that are laid out as none of ours */
  require(path: string, file: string): void {
    const layout = this.of(path);
    if (layout && dtypeOfLayout(layout) !== undefined) return;
    throw new BitnibbleError(
      'unsupported-dtype',
      `${file}: dataset ${path} holds ${layout ? layoutText(layout) : 'floating-point numbers of a layout that cannot be told'}, expected float16, bfloat16, float32 or float64`,
    );
  }
}

/** What a dataset holds. Floats of 4 and 8 bytes are taken for ordinary ones until they are read. */
export function describe(path: string, metadata: Metadata, layouts: FloatLayouts): H5Dataset {
  const { type, size } = metadata;
  const isShort = type === FLOAT && size < 4;
  const layout = isShort ? layouts.of(path) : undefined;
  const dtype = isShort && !layout ? undefined : datasetDtype(metadata, layout);
  const shape = [...(metadata.shape ?? [])];
  if (dtype !== undefined) return { path, shape, dtype };
  const floats = layout ? layoutText(layout) : `floating-point numbers of ${size} bytes`;
  return { path, shape, dtype, other: type === FLOAT ? floats : 'no array of numbers' };
}

/** Messages of object headers, versions 1 and 2. */
class HeaderReader {
  #blocks = 0;

  constructor(
    readonly source: ByteSource,
    readonly base: number,
  ) {}

  /** The datatype message of the object at an address; a committed type is followed once. */
  datatype(address: number, depth = 0): DataView | undefined {
    const head = this.#bytes(address, 16);
    if (!head) return undefined;
    const found =
      head.getUint32(0, false) === 0x4f484452 ? this.#version2(address, head) : this.#version1(address, head);
    if (!found || (found.flags & SHARED) === 0) return found?.body;
    // A shared message: version, type, address of the committed datatype's header.
    if (depth > 0 || found.body.byteLength < 10) return undefined;
    const version = found.body.getUint8(0);
    const at = version === 1 ? 8 : 2;
    if (found.body.byteLength < at + WORD) return undefined;
    return this.datatype(Number(found.body.getBigUint64(at, true)), depth + 1);
  }

  #bytes(address: number, size: number): DataView | undefined {
    const at = this.base + address;
    if (size < 0 || size > MAX_BLOCK_BYTES || !Number.isSafeInteger(at) || at + size > this.source.size)
      return undefined;
    const bytes = new Uint8Array(size);
    if (this.source.read(bytes, at) < size) return undefined;
    return new DataView(bytes.buffer);
  }

  #version1(address: number, head: DataView): Message | undefined {
    if (head.getUint8(0) !== 1) return undefined;
    const block = this.#bytes(address + 16, head.getUint32(8, true));
    return (
      block &&
      this.#find(
        block,
        8,
        (at, view) => ({
          type: view.getUint16(at, true),
          size: view.getUint16(at + 2, true),
          flags: view.getUint8(at + 4),
        }),
        (from, size) => this.#bytes(from, size),
      )
    );
  }

  #version2(address: number, head: DataView): Message | undefined {
    const flags = head.getUint8(5);
    // Times and phase-change values come before the size of the first block where the flags say so.
    const sizeAt = 6 + ((flags & 0x20) !== 0 ? 16 : 0) + ((flags & 0x10) !== 0 ? 4 : 0);
    const sizeBytes = 2 ** (flags & 3);
    const whole = this.#bytes(address, sizeAt + sizeBytes);
    if (!whole) return undefined;
    let size = 0;
    for (let i = sizeBytes - 1; i >= 0; i--) size = size * 256 + whole.getUint8(sizeAt + i);
    const block = this.#bytes(address + sizeAt + sizeBytes, size);
    const prefix = (flags & 4) !== 0 ? 6 : 4;
    return (
      block &&
      this.#find(
        block,
        prefix,
        (at, view) => ({
          type: view.getUint8(at),
          size: view.getUint16(at + 1, true),
          flags: view.getUint8(at + 3),
        }),
        (from, length) => {
          // `OCHK` before the messages, a checksum behind them.
          const chunk = this.#bytes(from, length);
          return chunk && length > 8 ? new DataView(chunk.buffer, 4, length - 8) : undefined;
        },
      )
    );
  }

  #find(
    first: DataView,
    prefix: number,
    head: (at: number, view: DataView) => { type: number; size: number; flags: number },
    next: (address: number, size: number) => DataView | undefined,
  ): Message | undefined {
    const open = [first];
    for (let view = open.pop(); view && ++this.#blocks <= MAX_BLOCKS; view = open.pop()) {
      for (let at = 0; at + prefix <= view.byteLength; ) {
        const { type, size, flags } = head(at, view);
        const from = at + prefix;
        if (from + size > view.byteLength) break;
        const body = new DataView(view.buffer, view.byteOffset + from, size);
        if (type === DATATYPE) return { flags, body };
        if (type === CONTINUATION && size >= 2 * WORD) {
          const more = next(Number(body.getBigUint64(0, true)), Number(body.getBigUint64(WORD, true)));
          if (more) open.push(more);
        }
        at = from + size;
      }
    }
    return undefined;
  }
}

interface Message {
  readonly flags: number;
  readonly body: DataView;
}
