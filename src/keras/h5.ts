import { BitnibbleError } from '../errors.js';
import { JSON_LIMIT } from '../formats/json.js';
import type { Dtype } from '../model.js';
import { sizeOf } from '../shape.js';
import { boxes } from './boxes.js';
import {
  type Filter,
  type H5Module,
  innermostReason,
  type Library,
  loadLibrary,
  type Metadata,
  mount,
  noteFault,
  session,
} from './h5-library.js';
import type { ByteSource } from './source.js';

/** An attribute value: text, or a list of it, or numbers. */
export type H5Attribute = string | string[] | number | bigint | ArrayLike<number | bigint>;

/** Largest dataset that is read as a whole: above it a size is taken for a fault of the file. */
const MAX_TENSOR_BYTES = 8 * 2 ** 30;
/** Deflate packs no tighter; a chunk that is not in the file at all would. */
const MAX_RATIO = 1032;
const SMALL_TENSOR_BYTES = 64 * 2 ** 20;
/** Read in pieces of this many bytes: HDF5's heap stops at 2 GiB, and a small one is soon reused. */
const BOX_BYTES = 4 * 2 ** 20;
/** Filters compiled into the library: deflate, shuffle, fletcher32, szip, nbit, scale-offset. */
const FILTERS = new Set([1, 2, 3, 4, 5, 6]);
/** Objects that are looked at in one file, at 40 to 100 microseconds each; models of a thousand layers have 4,000. */
const MAX_OBJECTS = 10_000;
const SIGNATURE = [0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a];

/** Whether the bytes hold an HDF5 superblock: at 0, or behind a user block of 512, 1024, 2048, ... bytes. */
export function isHdf5(source: ByteSource): boolean {
  const head = new Uint8Array(8);
  for (let at = 0; at + 8 <= source.size; at = at === 0 ? 512 : at * 2) {
    source.read(head, at);
    if (SIGNATURE.every((byte, i) => head[i] === byte)) return true;
  }
  return false;
}

/**
 * A dataset's number type, or undefined where no weight has it (strings, compounds, references).
 * h5py stores bfloat16 as two opaque bytes.
 */
function datasetDtype({ type, size, signed, enum_type }: Metadata): Dtype | undefined {
  if (type === 1) return ({ 2: 'F16', 4: 'F32', 8: 'F64' } as const)[size as 2 | 4 | 8];
  if (type === 5 && size === 2) return 'BF16';
  if (type === 8 && enum_type && size === 1) return 'BOOL';
  if (type !== 0 || ![1, 2, 4, 8].includes(size)) return undefined;
  return `${signed ? 'I' : 'U'}${size * 8}` as Dtype;
}

/** What a dataset is, without its values. */
export interface H5Dataset {
  readonly path: string;
  readonly shape: readonly number[];
  readonly dtype: Dtype | undefined;
}

/** An open HDF5 file. Every fault is a {@link BitnibbleError} that names the file and the object. */
export class H5File {
  readonly #library: Library;
  readonly #module: H5Module;
  readonly #id: bigint;
  readonly #mounted: string;
  /** Groups that are known to be reached without links. */
  readonly #checked = new Set<string>();
  #objects = 0;
  /** Of datasets that were looked at, whose types and filters do not change: asking takes 60 microseconds each time. */
  readonly #described = new Map<string, { metadata: Metadata; isReadable: boolean }>();
  /** Names of the attributes of the object that was asked for last. */
  #attributes: { path: string; names: ReadonlySet<string> } | undefined;
  readonly #session = session();
  #isClosed = false;

  private constructor(
    /** For messages. */
    readonly name: string,
    readonly source: ByteSource,
    library: Library,
    id: bigint,
    mountedAt: string,
  ) {
    this.#library = library;
    this.#module = library.Module;
    this.#id = id;
    this.#mounted = mountedAt;
  }

  /**
   * @throws BitnibbleError `not-hdf5` without the signature, `corrupt-file` where HDF5 refuses it
   */
  static async open(name: string, source: ByteSource): Promise<H5File> {
    if (!isHdf5(source)) {
      throw new BitnibbleError('not-hdf5', `${name}: expected an HDF5 file, its signature is missing`);
    }
    const library = await loadLibrary();
    const module = library.Module;
    const path = mount(module, source);
    const mode = source.write ? module.H5F_ACC_RDWR : module.H5F_ACC_RDONLY;
    let id: bigint;
    try {
      id = module.open(path, mode, false, -1, -1);
    } catch (error) {
      noteFault(error);
      module.FS.unlink(path);
      throw new BitnibbleError('corrupt-file', `${name}: damaged HDF5 file: ${innermostReason(error)}`);
    }
    return new H5File(name, source, library, id, path);
  }

  /** Releases the library's handle; the source stays open. */
  close(): void {
    try {
      if (this.#session === session()) this.#guard('/', () => this.#module.close_file(this.#id));
    } finally {
      this.#isClosed = true;
      this.#module.FS.unlink(this.#mounted);
    }
  }

  /**
   * What a path leads to; undefined where there is nothing.
   * @throws BitnibbleError `corrupt-file` where it leads over a soft or external link: Keras writes none, and they
   *   can form cycles
   */
  kind(path: string): 'group' | 'dataset' | undefined {
    if (path === '/') return 'group';
    for (let end = path.indexOf('/', 1); ; end = path.indexOf('/', end + 1)) {
      const prefix = end < 0 ? path : path.slice(0, end);
      if (this.#checked.has(prefix)) {
        if (end < 0) return 'group';
        continue;
      }
      if (++this.#objects > MAX_OBJECTS) {
        throw new BitnibbleError(
          'corrupt-file',
          `${this.name}: more than ${MAX_OBJECTS} groups and datasets, at ${prefix}`,
        );
      }
      const type = this.#typeOf(prefix);
      if (type === 'group') this.#checked.add(prefix);
      if (end < 0) return type;
      if (type !== 'group') return undefined;
    }
  }

  #typeOf(path: string): 'group' | 'dataset' | undefined {
    if (!this.#isSoftLink(path)) {
      const type = this.#guard(path, () => this.#module.get_type(this.#id, path));
      if (type === this.#module.H5G_GROUP) return 'group';
      if (type === this.#module.H5G_DATASET) return 'dataset';
      // Links to other files lead nowhere, so what has a type is none.
      if (!this.#isExternalLink(path)) return undefined;
    }
    throw new BitnibbleError(
      'corrupt-file',
      `${this.name}: ${path} is a link to another object or file, which is not followed`,
    );
  }

  #isSoftLink(path: string): boolean {
    return this.#ask(() => this.#module.get_symbolic_link(this.#id, path) !== null);
  }

  #isExternalLink(path: string): boolean {
    return this.#ask(() => this.#module.get_external_link(this.#id, path)?.filename !== undefined);
  }

  /** No where there is no such name, which HDF5 takes for a fault. */
  #ask(question: () => boolean): boolean {
    try {
      return question();
    } catch (error) {
      noteFault(error);
      return false;
    }
  }

  /** Names in a group, in the order that HDF5 keeps. */
  keys(path: string): string[] {
    return this.#guard(path, () => this.#module.get_names(this.#id, path, false) as string[]);
  }

  attributeNames(path: string): string[] {
    return this.#guard(path, () => this.#module.get_attribute_names(this.#id, path));
  }

  /** An attribute's value; undefined where the object has no such attribute. */
  attribute(path: string, name: string): H5Attribute | undefined {
    return this.#guard(`${path}@${name}`, () => {
      if (this.#attributes?.path !== path) {
        this.#attributes = { path, names: new Set(this.#module.get_attribute_names(this.#id, path)) };
      }
      if (!this.#attributes.names.has(name)) return undefined;
      const { size, total_size } = this.#module.get_attribute_metadata(this.#id, path, name);
      if (size * total_size > JSON_LIMIT) {
        throw new BitnibbleError(
          'corrupt-file',
          `${this.name}: attribute ${path}@${name} of ${size * total_size} bytes, expected at most ${JSON_LIMIT}`,
        );
      }
      const value = new this.#library.Group(this.#id, path).get_attribute(name, false);
      return value === null ? [] : (value as H5Attribute);
    });
  }

  dataset(path: string): H5Dataset {
    const metadata = this.#metadata(path);
    if (!metadata.shape) {
      throw new BitnibbleError('corrupt-file', `${this.name}: dataset ${path} has no shape`);
    }
    return { path, shape: [...metadata.shape], dtype: datasetDtype(metadata) };
  }

  /**
   * The values of a dataset as little-endian bytes, C order; HDF5 turns big-endian ones round.
   *
   * @param range elements from and to, in C order; all of them unless given
   * @param out memory to fill; new unless given
   * @throws BitnibbleError `unsupported-filter`, or `corrupt-file` for sizes out of all reason and damaged data
   */
  readBytes(path: string, range?: readonly [from: number, to: number], out?: Uint8Array): Uint8Array {
    const { shape, size } = this.#data(path);
    const [from, to] = range ?? [0, sizeOf(shape)];
    const target = out?.subarray(0, (to - from) * size) ?? new Uint8Array((to - from) * size);
    this.#eachBox(path, shape, size, from, to, (pointer, count, offset, at, length) => {
      const strides = count && shape.map(() => 1n);
      const status = this.#module.get_dataset_data(this.#id, path, count, offset, strides, BigInt(pointer));
      if (status < 0) throw new Error('the data cannot be read');
      target.set(this.#module.HEAPU8.subarray(pointer, pointer + length), at);
    });
    return target;
  }

  /**
   * Overwrites a dataset in place, from one element on, with little-endian bytes, C order; everything else of the file
   * stays.
   * @throws BitnibbleError `shape-mismatch`, `unsupported-filter`
   */
  writeBytes(path: string, values: Uint8Array, from = 0): void {
    const { shape, size } = this.#data(path);
    const to = from + values.length / size;
    if (!Number.isInteger(to) || to > sizeOf(shape)) {
      throw new BitnibbleError(
        'shape-mismatch',
        `${this.name}: dataset ${path} holds [${shape}] of ${size}-byte numbers, expected ${from * size + values.length} bytes`,
      );
    }
    this.#eachBox(path, shape, size, from, to, (pointer, count, offset, at, length) => {
      this.#module.HEAPU8.set(values.subarray(at, at + length), pointer);
      const strides = count && shape.map(() => 1n);
      const status = this.#module.set_dataset_data(this.#id, path, count, offset, strides, BigInt(pointer));
      if (status < 0) throw new Error('the data cannot be written');
    });
  }

  /** Shape and bytes per number of a dataset whose values can be had. */
  #data(path: string): { shape: readonly number[]; size: number } {
    const { shape, size } = this.#metadata(path);
    this.#checkFilters(path);
    const bytes = sizeOf(shape ?? []) * size;
    const most = Math.min(MAX_TENSOR_BYTES, this.#mostBytes);
    if (bytes <= most) return { shape: shape ?? [], size };
    throw new BitnibbleError(
      'corrupt-file',
      `${this.name}: dataset ${path} claims ${bytes} bytes, expected at most ${most}`,
    );
  }

  get #mostBytes(): number {
    return Math.max(SMALL_TENSOR_BYTES, this.source.size * MAX_RATIO);
  }

  /**
   * Holds what datasets claim together against what a file of this size can hold; one that is listed twice counts twice.
   * @throws BitnibbleError `corrupt-file`
   */
  checkClaims(datasets: Iterable<{ readonly path: string; readonly bytes: number }>): void {
    const most = this.#mostBytes;
    let total = 0;
    for (const { path, bytes } of datasets) {
      total += bytes;
      if (total <= most) continue;
      const what = total === bytes ? 'claims' : 'and those before it claim';
      throw new BitnibbleError(
        'corrupt-file',
        `${this.name}: dataset ${path} ${what} ${total} bytes, expected at most ${most}`,
      );
    }
  }

  #metadata(path: string): Metadata {
    this.#requireSession();
    const known = this.#described.get(path);
    if (known) return known.metadata;
    const metadata = this.#guard(path, () => this.#module.get_dataset_metadata(this.#id, path));
    if (metadata.virtual_sources !== undefined) {
      throw new BitnibbleError(
        'corrupt-file',
        `${this.name}: dataset ${path} is put together from others, which is not followed`,
      );
    }
    // HDF5 filters chunks alone.
    this.#described.set(path, { metadata, isReadable: metadata.chunks === null });
    return metadata;
  }

  #checkFilters(path: string): void {
    const described = this.#described.get(path);
    if (described?.isReadable) return;
    const filters = this.#guard(path, () => this.#module.get_dataset_filters(this.#id, path));
    const unknown = filters.find(({ id }: Filter) => !FILTERS.has(id));
    if (unknown) {
      throw new BitnibbleError(
        'unsupported-filter',
        `${this.name}: dataset ${path} is compressed with HDF5 filter ${unknown.id} (${unknown.name}), which cannot be decoded; rewrite it with gzip or none`,
      );
    }
    if (described) described.isReadable = true;
  }

  /** Visits elements of a dataset in boxes of at most {@link BOX_BYTES}. */
  #eachBox(
    path: string,
    shape: readonly number[],
    itemBytes: number,
    from: number,
    to: number,
    visit: (
      pointer: number,
      count: bigint[] | null,
      offset: bigint[] | null,
      at: number,
      length: number,
    ) => void,
  ): void {
    if (from >= to) return;
    const most = Math.floor(BOX_BYTES / itemBytes);
    const heap = this.#module as unknown as { _malloc(n: number): number; _free(p: number): void };
    const pointer = heap._malloc(Math.min(most, to - from) * itemBytes);
    if (pointer === 0) throw new BitnibbleError('too-large', `${this.name}: no memory for dataset ${path}`);
    try {
      for (const { offset, count, start, length } of boxes(shape, from, to, most)) {
        const isWhole = length === sizeOf(shape);
        const at = (start - from) * itemBytes;
        this.#guard(path, () =>
          visit(
            pointer,
            isWhole ? null : count.map(BigInt),
            isWhole ? null : offset.map(BigInt),
            at,
            length * itemBytes,
          ),
        );
      }
    } finally {
      heap._free(pointer);
    }
  }

  #requireSession(): void {
    if (this.#isClosed) throw new Error(`${this.name}: read after close()`);
    if (this.#session === session()) return;
    throw new BitnibbleError(
      'corrupt-file',
      `${this.name}: closed, because another damaged file broke the HDF5 library while both were open; open it again`,
    );
  }

  #guard<T>(path: string, run: () => T): T {
    this.#requireSession();
    try {
      return run();
    } catch (error) {
      if (error instanceof BitnibbleError) throw error;
      noteFault(error);
      throw new BitnibbleError(
        'corrupt-file',
        `${this.name}: damaged HDF5 object ${path}: ${innermostReason(error)}`,
      );
    }
  }
}
