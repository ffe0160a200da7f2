import { BitnibbleError, type ErrorCode } from '../errors.js';

/** Why something cannot be run, before it is known which layer of which file it is. */
export class Refusal extends BitnibbleError {
  constructor(
    readonly reason: string,
    code: ErrorCode = 'unsupported-layer',
  ) {
    super(code, reason);
  }
}

/** @throws Refusal */
export function refuse(reason: string): never {
  throw new Refusal(reason);
}

const mebibytes = (bytes: number) => `${Math.ceil(bytes / 2 ** 20).toLocaleString('en-US')} MiB`;

/** @throws Refusal `too-large` for more bytes than the limit */
export function requireRoom(bytes: number, limit: number): void {
  if (bytes <= limit) return;
  throw new Refusal(
    `${mebibytes(bytes)} of memory are needed, the limit is ${mebibytes(limit)} (option memoryLimit)`,
    'too-large',
  );
}
