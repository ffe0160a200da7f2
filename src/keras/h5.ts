import { BitnibbleError } from '../errors.js';
import { JSON_LIMIT } from '../formats/json.js';
import { sizeOf } from '../shape.js';
import { boxes, type VisitBox } from './boxes.js';
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
  withMemory,
  withStack,
} from './h5-library.js';
import {
  BOX_BYTES,
  checkClaims,
  checkFits,
  checkNames,
  MAX_OBJECTS,
  MAX_STEPS,
  MAX_TENSOR_BYTES,
  mostBytes,
  plainPath,
  requireKnownFilters,
  requireLossless,
} from './h5-limits.js';
import { describe, FLOAT, FloatLayouts } from './h5-types.js';
import type { H5Attribute, H5Dataset, Hdf5 } from './hdf5.js';
import type { ByteSource } from './source.js';

/** An HDF5 file that HDF5 itself reads and writes. */
export class H5File implements Hdf5 {
  readonly #library: Library;
  readonly #module: H5Module;
  readonly #id: bigint;
  readonly #mounted: string;
  /** Groups that are known to be reached without links. */
  readonly #checked = new Set<string>();
  /** Where each object lies in the file, and the path that led there. */
  readonly #places = new Map<bigint, string>();
  /** Names in groups that something was looked for in. */
  readonly #names = new Map<string, ReadonlySet<string>>();
  #objects = 0;
  #steps = 0;
  /** Of datasets that were looked at, whose types and filters do not change: asking takes 60 microseconds each time. */
  readonly #described = new Map<string, { metadata: Metadata; filters?: readonly Filter[] }>();
  /** Of the object that was asked for last. */
  #attributes: { path: string; names: ReadonlySet<string> } | undefined;
  readonly #layouts: FloatLayouts;
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
    this.#layouts = new FloatLayouts(source, (path) =>
      this.#guard(path, () => this.#module.create_object_reference(id, path)),
    );
  }

  /**
   * @throws BitnibbleError `corrupt-file` where HDF5 refuses it
   */
  static async open(name: string, source: ByteSource): Promise<H5File> {
    const library = await loadLibrary();
    const module = library.Module;
    const path = mount(module, source);
    const mode = source.write ? module.H5F_ACC_RDWR : module.H5F_ACC_RDONLY;
    let id: bigint;
    try {
      id = withStack(module, () => module.open(path, mode, false, -1, -1));
    } catch (error) {
      noteFault(error);
      module.FS.unlink(path);
      throw new BitnibbleError('corrupt-file', `${name}: damaged HDF5 file: ${innermostReason(error)}`);
    }
    return new H5File(name, source, library, id, path);
  }

  close(): void {
    try {
      if (this.#session === session()) this.#guard('/', () => this.#module.close_file(this.#id));
    } finally {
      this.#isClosed = true;
      this.#module.FS.unlink(this.#mounted);
    }
  }

  kind(given: string): 'group' | 'dataset' | undefined {
    const path = plainPath(given);
    if (path === '/') return 'group';
    let depth = 0;
    for (let end = path.indexOf('/', 1); ; end = path.indexOf('/', end + 1)) {
      depth++;
      const prefix = end < 0 ? path : path.slice(0, end);
      if (this.#checked.has(prefix)) {
        if (end < 0) return 'group';
        continue;
      }
      this.#steps += depth ** 2;
      if (++this.#objects > MAX_OBJECTS || this.#steps > MAX_STEPS) {
        const what = `more than ${MAX_OBJECTS} groups and datasets, or fewer that are nested deep`;
        throw new BitnibbleError('corrupt-file', `${this.name}: ${what}, at ${prefix}`);
      }
      const type = this.#typeOf(prefix);
      if (type) this.#requireOneName(prefix);
      if (type === 'group') this.#checked.add(prefix);
      if (end < 0) return type;
      if (type !== 'group') return undefined;
    }
  }

  /** Its names are looked through before HDF5 is asked for one, since no such name is a fault for HDF5. */
  #typeOf(path: string): 'group' | 'dataset' | undefined {
    const cut = path.lastIndexOf('/');
    const group = path.slice(0, cut) || '/';
    let names = this.#names.get(group);
    if (!names) {
      names = new Set(this.keys(group));
      this.#names.set(group, names);
    }
    if (!names.has(path.slice(cut + 1))) return undefined;
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

  #requireOneName(path: string): void {
    const place = this.#placeOf(path);
    if (this.#places.size === 0) this.#places.set(this.#placeOf('/'), '/');
    const other = this.#places.get(place);
    if (other !== undefined && other !== path) {
      const fault = 'is one object of two names, so that whatever is written to one changes the other';
      throw new BitnibbleError(
        'corrupt-file',
        `${this.name}: ${path}, which ${other} leads to too, ${fault}`,
      );
    }
    this.#places.set(place, path);
  }

  /** The address of an object's header, which references hold. */
  #placeOf(path: string): bigint {
    const reference = this.#guard(path, () => this.#module.create_object_reference(this.#id, path));
    return new DataView(Uint8Array.from(reference).buffer).getBigUint64(0, true);
  }

  #isSoftLink(path: string): boolean {
    return this.#ask(() => this.#module.get_symbolic_link(this.#id, path) !== null);
  }

  #isExternalLink(path: string): boolean {
    return this.#ask(() => this.#module.get_external_link(this.#id, path)?.filename !== undefined);
  }

  /** No where there is no such name, a fault for HDF5. */
  #ask(question: () => boolean): boolean {
    try {
      return withStack(this.#module, question);
    } catch (error) {
      noteFault(error);
      return false;
    }
  }

  keys(path: string): string[] {
    const names = this.#guard(path, () => this.#module.get_names(this.#id, path, false) as string[]);
    return checkNames(names, this.name, path);
  }

  attributeNames(path: string): string[] {
    return this.#guard(path, () => this.#module.get_attribute_names(this.#id, path));
  }

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
    return describe(path, metadata, this.#layouts);
  }

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

  readBox(path: string, offset: readonly number[], count: readonly number[]): Uint8Array {
    const bytes = sizeOf(count) * this.#data(path).size;
    const [counts, offsets, strides] = [count.map(BigInt), offset.map(BigInt), count.map(() => 1n)];
    return this.#withMemory(path, bytes, (pointer) =>
      this.#guard(path, () => {
        const at = BigInt(pointer);
        if (this.#module.get_dataset_data(this.#id, path, counts, offsets, strides, at) < 0)
          throw new Error('the data cannot be read');
        return this.#module.HEAPU8.slice(pointer, pointer + bytes);
      }),
    );
  }

  writeBytes(path: string, values: Uint8Array, from = 0): void {
    const { shape, size } = this.#data(path);
    requireLossless(this.#filters(path), this.name, path);
    checkFits(this.name, path, shape, size, values.length, from);
    const to = from + values.length / size;
    this.#eachBox(path, shape, size, from, to, (pointer, count, offset, at, length) => {
      this.#module.HEAPU8.set(values.subarray(at, at + length), pointer);
      const strides = count && shape.map(() => 1n);
      const status = this.#module.set_dataset_data(this.#id, path, count, offset, strides, BigInt(pointer));
      if (status < 0) throw new Error('the data cannot be written');
    });
  }

  /** Shape and bytes per number of a dataset whose values can be had. */
  #data(path: string): { shape: readonly number[]; size: number } {
    const { shape, size, type } = this.#metadata(path);
    this.#filters(path);
    if (type === FLOAT) this.#layouts.require(path, this.name);
    const bytes = sizeOf(shape ?? []) * size;
    const most = Math.min(MAX_TENSOR_BYTES, mostBytes(this.source.size));
    if (bytes <= most) return { shape: shape ?? [], size };
    throw new BitnibbleError(
      'corrupt-file',
      `${this.name}: dataset ${path} claims ${bytes} bytes, expected at most ${most}`,
    );
  }

  checkClaims(datasets: Iterable<{ readonly path: string; readonly bytes: number }>): void {
    checkClaims(datasets, this.source.size, this.name);
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
    this.#described.set(path, { metadata, ...(metadata.chunks === null ? { filters: [] } : {}) });
    return metadata;
  }

  /** The filters of a dataset. @throws BitnibbleError `unsupported-filter` for one that cannot be decoded */
  #filters(path: string): readonly Filter[] {
    const metadata = this.#metadata(path);
    const known = this.#described.get(path)?.filters;
    if (known) return known;
    const filters = this.#guard(path, () => this.#module.get_dataset_filters(this.#id, path));
    requireKnownFilters(filters, `${this.name}: dataset ${path}`);
    this.#described.set(path, { metadata, filters });
    return filters;
  }

  /** Visits elements of a dataset in boxes of at most {@link BOX_BYTES}. */
  #eachBox(
    path: string,
    shape: readonly number[],
    itemBytes: number,
    from: number,
    to: number,
    visit: VisitBox,
  ): void {
    if (from >= to) return;
    const most = Math.floor(BOX_BYTES / itemBytes);
    this.#withMemory(path, Math.min(most, to - from) * itemBytes, (pointer) => {
      for (const { offset, count, start, length } of boxes(shape, from, to, most)) {
        const isWhole = length === sizeOf(shape);
        const [n, at] = isWhole ? [null, null] : [count.map(BigInt), offset.map(BigInt)];
        this.#guard(path, () => visit(pointer, n, at, (start - from) * itemBytes, length * itemBytes));
      }
    });
  }

  /** Lends memory of the library. */
  #withMemory<T>(path: string, bytes: number, use: (pointer: number) => T): T {
    return withMemory(this.#module, bytes, `${this.name}: no memory for dataset ${path}`, use);
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
      return withStack(this.#module, run);
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
