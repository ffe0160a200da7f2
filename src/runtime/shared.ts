/** Most pages of 64 KiB that a shared memory may take: 2 GiB. */
const MOST_PAGES = 32768;

/** An unsigned number of up to 32 bits in LEB128. */
function leb(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...leb(value >>> 7)];
}

function readLeb(bytes: Uint8Array, from: number): { readonly value: number; readonly end: number } {
  let [value, at] = [0, from];
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at++] as number;
    value |= (byte & 127) << shift;
    if (byte < 128) return { value, end: at };
  }
}

const section = (id: number, content: readonly number[]): number[] => [
  id,
  ...leb(content.length),
  ...content,
];
const text = (value: string): number[] => [value.length, ...[...value].map((c) => c.charCodeAt(0))];

/**
 * A module with a memory of its own as one that is given a shared one, `env.memory`: the section of its memory goes, a section of an
 * import comes behind the types. The first memory keeps its number, so that nothing else changes.
 *
 * @returns the bytes, and the pages that it asks for
 */
export function withSharedMemory(bytes: Uint8Array): {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly pages: number;
} {
  const parts: (Uint8Array | readonly number[])[] = [bytes.subarray(0, 8)];
  let pages = 0;
  for (let at = 8; at < bytes.length; ) {
    const id = bytes[at] as number;
    const { value: length, end } = readLeb(bytes, at + 1);
    if (id === 2) throw new Error('a module without imports was expected');
    // One memory: count, flags, pages.
    if (id === 5) pages = readLeb(bytes, end + 2).value;
    else parts.push(bytes.subarray(at, end + length));
    at = end + length;
  }
  const limits = [3, ...leb(pages), ...leb(MOST_PAGES)];
  parts.splice(2, 0, section(2, [1, ...text('env'), ...text('memory'), 2, ...limits]));
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let to = 0;
  for (const part of parts) {
    out.set(part, to);
    to += part.length;
  }
  return { bytes: out, pages };
}

export const sharedMemory = (pages: number): WebAssembly.Memory =>
  new WebAssembly.Memory({ initial: pages, maximum: MOST_PAGES, shared: true });
