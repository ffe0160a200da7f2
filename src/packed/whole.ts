import { BitnibbleError } from '../errors.js';
import { planPacked } from './plan.js';
import { type ByteInput, type OnProgress, takeHeader } from './source.js';

export interface WholeOptions {
  /** Most bytes of the file. */
  readonly limit: number;
  /** Bytes in all as the transport has it, for progress alone. */
  readonly total?: number | undefined;
  readonly onProgress?: OnProgress | undefined;
}

/**
 * A packed file off its stream: its header, then at most as many bytes as that states, however long the stream is.
 *
 * @param prefix the first 8 bytes, which were taken already
 * @throws BitnibbleError `too-large` where the header states more than the limit, `download`, `corrupt-file`, and what
 *   `planPacked` throws
 */
export async function takeWhole(
  input: ByteInput,
  name: string,
  { limit }: WholeOptions,
  prefix: Uint8Array,
): Promise<Uint8Array> {
  const { header, head } = await takeHeader(input, prefix);
  const { fileSize } = header;
  if (fileSize > limit) {
    const fault = `the header states a file of ${fileSize} bytes, the limit is ${limit}`;
    throw new BitnibbleError('too-large', `${name}: ${fault}`);
  }
  planPacked(header, name);
  const bytes = await input.take(fileSize, false, head);
  await input.end();
  return bytes;
}
