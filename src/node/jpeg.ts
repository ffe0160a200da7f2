import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { ImageCodec } from '../data/index.js';
import { BitnibbleError } from '../errors.js';
import { jpegHeader } from '../formats/jpeg.js';
import { bytesAccess } from '../formats/random-access.js';

/** The codec that @jsquash/jpeg has compiled from mozjpeg. */
interface Codec {
  decode(bytes: Uint8Array, preserveOrientation: boolean): { readonly data: Uint8ClampedArray } | null;
}
type CodecFactory = (options: {
  readonly noInitialRun: true;
  readonly wasmBinary: Uint8Array;
  readonly printErr: (text: string) => void;
}) => Promise<Codec>;

const PACKAGE = '@jsquash/jpeg';
const CODEC = `${PACKAGE}/codec/dec/mozjpeg_dec`;

/**
 * The codec of JPEG images, libjpeg's accurate one: the pixels of Pillow, and of TensorFlow with
 * `dct_method='INTEGER_ACCURATE'`; the faster method that TensorFlow uses by default rounds some otherwise. What a camera notes of how it
 * was held is not applied, as in Keras.
 *
 * @param name of the image or the folder that asks for it, for errors
 * @throws BitnibbleError `no-jpeg` where the package is not installed
 */
export async function loadJpeg(name: string): Promise<ImageCodec> {
  const { default: factory } = await codecFor(name);
  const wasmBinary = readFileSync(createRequire(import.meta.url).resolve(`${CODEC}.wasm`));
  const said: string[] = [];
  const codec = await factory({ noInitialRun: true, wasmBinary, printErr: (text) => said.push(text) });
  const read: ImageCodec['read'] = (bytes, name) => {
    const { width, height, channels } = jpegHeader(bytesAccess(bytes), name);
    said.length = 0;
    let rgba: Uint8ClampedArray | undefined;
    try {
      rgba = codec.decode(bytes, false)?.data;
    } catch {
      // What libjpeg throws is a number; what it says was noted.
    }
    // It fills up what a cut file lacks, and only says so. Bytes too many between segments are common, and do no harm.
    const isWhole = rgba?.length === 4 * width * height;
    const fault = said.find((text) => !isWhole || /premature end/i.test(text));
    if (rgba === undefined || !isWhole || fault !== undefined)
      throw new BitnibbleError(
        'corrupt-file',
        `${name}: damaged JPEG image: ${fault ?? 'it cannot be decoded'}`,
      );
    const pixels = new Uint8Array(width * height * channels);
    for (let i = 0; i < width * height; i++)
      for (let c = 0; c < channels; c++) pixels[i * channels + c] = rgba[4 * i + c] as number;
    return { width, height, channels, pixels };
  };
  return { size: jpegHeader, read };
}

async function codecFor(name: string): Promise<{ readonly default: CodecFactory }> {
  try {
    return await import(`${CODEC}.js`);
  } catch (cause) {
    const fault = `JPEG images need the package ${PACKAGE}: run "npm install ${PACKAGE}", or turn them into PNG`;
    throw new BitnibbleError('no-jpeg', `${name}: ${fault}`, { cause });
  }
}
