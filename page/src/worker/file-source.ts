import type { ByteSource } from 'bitnibble/keras';

/** Of workers only, so it is not among the types of pages. */
declare class FileReaderSync {
  readAsArrayBuffer(blob: Blob): ArrayBuffer;
}

/** Small reads come from pages of this size; HDF5 makes thousands of them for its metadata. */
const PAGE_BYTES = 2 ** 18;
const MAX_PAGES = 32;

/** A file on the user's disk, read where it lies: neither it nor a large tensor is ever in memory as a whole. */
export function fileSource(file: Blob): ByteSource {
  const reader = new FileReaderSync();
  const load = (start: number, end: number) =>
    new Uint8Array(reader.readAsArrayBuffer(file.slice(start, end)));
  const pages = new Map<number, Uint8Array>();
  const pageAt = (index: number): Uint8Array => {
    const known = pages.get(index);
    if (known) return known;
    const [oldest] = pages.keys();
    if (pages.size >= MAX_PAGES && oldest !== undefined) pages.delete(oldest);
    const page = load(index * PAGE_BYTES, (index + 1) * PAGE_BYTES);
    pages.set(index, page);
    return page;
  };
  return {
    size: file.size,
    read(target, position) {
      const end = Math.min(file.size, position + target.length);
      if (end <= position) return 0;
      if (target.length >= PAGE_BYTES) {
        target.set(load(position, end));
        return end - position;
      }
      for (let at = position; at < end; ) {
        const index = Math.floor(at / PAGE_BYTES);
        const from = at - index * PAGE_BYTES;
        const part = pageAt(index).subarray(from, from + end - at);
        if (part.length === 0) return at - position;
        target.set(part, at - position);
        at += part.length;
      }
      return end - position;
    },
    close: () => pages.clear(),
  };
}
