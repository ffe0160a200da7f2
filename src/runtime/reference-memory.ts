import { Refusal } from './refusal.js';

function allocated(bytes: number): ArrayBuffer {
  try {
    return new ArrayBuffer(bytes);
  } catch (cause) {
    const need = `${Math.ceil(bytes / 2 ** 20)} MiB of memory`;
    throw Object.assign(new Refusal(`${need} are needed, the host gives less`, 'too-large'), { cause });
  }
}

/** Memory of the reference: an array that grows by being copied, and its elements by address. */
export class ReferenceMemory {
  buffer = new ArrayBuffer(65536);
  private view = new DataView(this.buffer);
  private readonly word = new DataView(new ArrayBuffer(4));

  reserve(end: number): void {
    if (end + 64 <= this.buffer.byteLength) return;
    const grown = allocated(Math.ceil((end + 64) / 65536) * 65536);
    new Uint8Array(grown).set(new Uint8Array(this.buffer));
    this.buffer = grown;
    this.view = new DataView(grown);
  }

  float = (at: number): number => this.view.getFloat32(at, true);
  setFloat = (at: number, value: number): void => this.view.setFloat32(at, value, true);
  int = (at: number): number => this.view.getInt32(at, true);
  setInt = (at: number, value: number): void => this.view.setInt32(at, value, true);
  short = (at: number): number => this.view.getInt16(at, true);
  setShort = (at: number, value: number): void => this.view.setInt16(at, value, true);
  byte = (at: number): number => this.view.getUint8(at);

  copy(to: number, from: number, bytes: number): void {
    new Uint8Array(this.buffer).copyWithin(to, from, from + bytes);
  }

  clear(at: number, bytes: number): void {
    new Uint8Array(this.buffer, at, bytes).fill(0);
  }

  /** Widens the range at `slot` by one float32 value: the magnitude as an integer, the sign by OR. */
  widen(slot: number, value: number): void {
    this.word.setFloat32(0, value);
    const word = this.word.getInt32(0);
    this.setInt(slot, Math.max(this.int(slot), word & 0x7fffffff));
    this.setInt(slot + 4, this.int(slot + 4) | (word & ~0x7fffffff));
  }
}
