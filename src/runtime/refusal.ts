import { Refusal } from '../export/refusal.js';

export { Refusal, refuse } from '../export/refusal.js';

const mebibytes = (bytes: number) => `${Math.ceil(bytes / 2 ** 20).toLocaleString('en-US')} MiB`;

/** @throws Refusal `too-large` for more bytes than the limit */
export function requireRoom(bytes: number, limit: number): void {
  if (bytes <= limit) return;
  throw new Refusal(
    `${mebibytes(bytes)} of memory are needed, the limit is ${mebibytes(limit)} (option memoryLimit)`,
    'too-large',
  );
}
