// Streams a packed file that is nowhere as a whole, and prints how much memory that took: keep | reuse, as JSON.
import { loadDecoder, streamPacked } from '../../src/reader.js';

const SIDE = 2048;
const TENSORS = 16;
const count = SIDE * SIDE;

function header(): Uint8Array {
  const entries: Record<string, unknown> = {};
  const weights = Array.from({ length: TENSORS }, (_, i) => `d${i}/kernel`);
  let at = 0;
  const add = (name: string, dtype: string, shape: number[], bytes: number) => {
    entries[name] = { dtype, shape, data_offsets: [at, at + bytes] };
    at += bytes;
  };
  for (const id of weights) add(`${id}.scales`, 'F32', [1, SIDE], 4 * SIDE);
  for (const id of weights) add(`${id}.codes`, 'U8', [count / 2], count / 2);
  const stored = weights.map((id) => ({
    ...{ id, layer: id.slice(0, -7), class: 'Dense', name: 'kernel', shape: [SIDE, SIDE], dtype: 'F32' },
    ...{ scheme: 'int4', granularity: 'channel', axes: [1], scale: 'absmax' },
  }));
  const metadata = { format: 'bitnibble', format_version: '1', weights: JSON.stringify(stored) };
  const json = new TextEncoder().encode(JSON.stringify({ __metadata__: metadata, ...entries }));
  const bytes = new Uint8Array(8 + json.length);
  new DataView(bytes.buffer).setUint32(0, json.length, true);
  bytes.set(json, 8);
  return bytes;
}

async function* file(): AsyncGenerator<Uint8Array> {
  yield header();
  const chunk = 64 * 1024;
  let left = TENSORS * (4 * SIDE + count / 2);
  for (; left > 0; left -= chunk) {
    await new Promise((resolve) => setImmediate(resolve)); // as from a network
    yield new Uint8Array(Math.min(chunk, left)).fill(0x12);
  }
}

const decoder = await loadDecoder();
const reused = process.argv[2] === 'reuse' ? new Float32Array(count).fill(1) : undefined;
const kept: unknown[] = [];
const before = process.memoryUsage.rss();
let most = 0;
let weights = 0;
const onProgress = () => {
  most = Math.max(most, process.memoryUsage.rss() - before);
};
for await (const { values } of streamPacked(file(), decoder, { into: () => reused, onProgress })) {
  if (!reused) kept.push(values);
  weights += values.length;
}
onProgress();
const MEGA = 2 ** 20;
process.stdout.write(JSON.stringify({ most: most / MEGA, output: (4 * weights) / MEGA, kept: kept.length }));
