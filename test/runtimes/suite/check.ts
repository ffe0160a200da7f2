// The few assertions of the conformance suite, which runs where no test library does.

export class Fault extends Error {
  override readonly name = 'Fault';
}

const show = (value: unknown) => (typeof value === 'string' ? JSON.stringify(value) : String(value));

export function equal(got: unknown, want: unknown, what: string): void {
  if (!Object.is(got, want)) throw new Fault(`${what}: expected ${show(want)}, got ${show(got)}`);
}

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView) =>
  new Uint8Array(buffer, byteOffset, byteLength);

/** Bytes, so that -0 is not 0 and NaN is NaN. */
export function sameBytes(got: ArrayBufferView, want: ArrayBufferView, what: string): void {
  const [a, b] = [bytesOf(got), bytesOf(want)];
  equal(a.length, b.length, `${what}, bytes`);
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) equal(a[i], b[i], `${what}, byte ${i}`);
}

/** `kind` is the name of an error class, or a code of BitnibbleError. */
export async function fails(work: () => unknown, kind: string, text: RegExp, what: string): Promise<void> {
  let error: unknown;
  try {
    await work();
  } catch (thrown) {
    error = thrown;
  }
  if (!(error instanceof Error)) throw new Fault(`${what}: expected an error, got ${show(error)}`);
  const code = 'code' in error ? error.code : error.name;
  equal(code, kind, `${what} (${error.message})`);
  if (!text.test(error.message)) throw new Fault(`${what}: expected ${text}, got ${show(error.message)}`);
}

export function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
}

/** CRC-32 of RFC 1952, a bit at a time. */
export function crc32(view: ArrayBufferView): number {
  let r = -1;
  for (const byte of bytesOf(view)) {
    r ^= byte;
    for (let bit = 0; bit < 8; bit++) r = (r >>> 1) ^ (r & 1 ? 0xedb88320 : 0);
  }
  return ~r >>> 0;
}

/** Deterministic numbers in [0, 1). */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
