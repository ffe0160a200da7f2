/**
 * The bytes of an embedded module. They are written as text, counted from 0xfa on, so that the prefix of SIMD instructions is among the
 * first: one character for each byte below 87, two for the others, the first of which says which 87 it is among. So repeated bytes stay
 * repeated text: gzipped, the runtime takes 0.7 kB less than in hexadecimal and 4 kB less than in base64. No character is one that
 * JavaScript or its minifiers escape.
 */
export function bytesOf(text: string, length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  let at = 0;
  let first = -46;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 33) first = 41;
    else if (code === 38) first = 128;
    else {
      bytes[at++] = first + (code === 35 ? 92 : code === 37 ? 96 : code);
      first = -46;
    }
  }
  return bytes;
}
