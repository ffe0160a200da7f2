import { BitnibbleError } from '../errors.js';
import { planPacked } from './plan.js';
import { ByteInput, type ByteStream, bodyOf, isResponse, type OnProgress, takeHeader } from './source.js';

export interface WholeOptions {
  /** Most bytes of the file. */
  readonly limit: number;
  /** Bytes in all as the transport has it, for progress alone. */
  readonly total?: number | undefined;
  readonly onProgress?: OnProgress | undefined;
}

/**
 * A packed file off its stream: its header, then at most as many bytes as that states, however long the stream is.
 * @throws BitnibbleError `too-large` where the header states more than the limit, `download`, `corrupt-file`, and what
 *   `planPacked` throws
 */
export async function takeWhole(
  stream: ByteStream,
  name: string,
  { limit, total, onProgress }: WholeOptions,
): Promise<Uint8Array> {
  const input = new ByteInput(stream, name, total, onProgress);
  try {
    const { header, head } = await takeHeader(input);
    const { fileSize } = header;
    if (fileSize > limit) {
      const fault = `the header states a file of ${fileSize} bytes, the limit is ${limit}`;
      throw new BitnibbleError('too-large', `${name}: ${fault}`);
    }
    planPacked(header, name);
    const bytes = await input.take(fileSize, false, head);
    await input.end();
    return bytes;
  } finally {
    await input.stop();
  }
}

/** {@link takeWhole} of a response or a stream of bytes. @param limit bytes of the file at most */
export const takeBody = async (source: unknown, name: string, limit: number): Promise<Uint8Array> =>
  takeWhole(isResponse(source) ? bodyOf(source, name).stream : (source as ByteStream), name, { limit });
