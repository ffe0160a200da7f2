// The short way to open a packed file takes what the long one takes, and makes the same of it, or leaves it alone: over fixtures, and
// over random changes of theirs.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadKernels } from '../../src/kernels/index.js';
import type { Json } from '../../src/model.js';
import { openPacked, packedBytes } from '../../src/packed/index.js';
import { openQuick, planQuick, takeQuick } from '../../src/packed/quick.js';
import { takeAny } from '../../src/packed/shards/whole.js';
import { changedJson, generator } from '../network/changes.js';
import { everyName, quantized } from '../tfjs/support.js';

const kernels = await loadKernels();
const NAMES = everyName.filter((_, i) => i % 6 === 0);
const files = new Map<string, Uint8Array>();
for (const name of NAMES) files.set(name, packedBytes((await quantized(name, kernels)).packed));

/** @returns whether the short way took it */
function compared(bytes: Uint8Array, what: string): boolean {
  const quick = openQuick(bytes, kernels, 'file');
  if (!quick) return false;
  const model = openPacked(bytes, kernels, 'file');
  const { file, architecture, kerasVersion, backend, activationRanges } = model;
  assert.equal(
    [quick.file, quick.architecture, quick.kerasVersion, quick.backend, quick.activationRanges],
    [file, architecture, kerasVersion, backend, activationRanges],
    what,
  );
  assert.is(quick.weights.length, model.weights.length, what);
  for (const [i, weight] of quick.weights.entries()) {
    const other = model.weights[i];
    assert.ok(other && weight.kind === other.kind, what);
    if (weight.kind === 'kept' && other.kind === 'kept')
      assert.equal({ ...weight, bytes: weight.bytes() }, { ...other, bytes: other.bytes() }, what);
    else assert.equal(weight, other, what);
    assert.equal(quick.read(weight.id), model.read(weight.id), what);
    assert.is(quick.weight(weight.id), weight);
  }
  return true;
}

/** The file with another header before its data. */
function withHeader(bytes: Uint8Array, header: string): Uint8Array {
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  const text = new TextEncoder().encode(header.padEnd(Math.ceil(header.length / 8) * 8));
  const data = bytes.subarray(8 + length);
  const out = new Uint8Array(8 + text.length + data.length);
  new DataView(out.buffer).setUint32(0, text.length, true);
  out.set(text, 8);
  out.set(data, 8 + text.length);
  return out;
}

const headerOf = (bytes: Uint8Array): Record<string, Json> => {
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  return JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
};

test('what bitnibble writes is opened the short way, values and all', () => {
  let others = 0;
  for (const [name, bytes] of files) {
    const { __metadata__: metadata, ...tensors } = headerOf(bytes);
    const weights = (metadata as { weights: string }).weights;
    const isFloat = (JSON.parse(weights) as { dtype: string }[]).every(({ dtype }) => dtype === 'F32');
    if (!isFloat) others++;
    assert.is(compared(bytes, name), isFloat, `${name}: ${Object.keys(tensors)}`);
  }
  assert.ok(others < files.size / 3, `${others} of ${files.size} have other types than float32`);
  // At an address where float32 cannot lie.
  const [first] = files.values() as unknown as [Uint8Array];
  const moved = new Uint8Array(first.length + 1);
  moved.set(first, 1);
  assert.ok(compared(moved.subarray(1), 'moved'));
});

/** What JSON may be spelled with otherwise, or is none with. */
const PIECES = [
  ' ',
  '\n',
  '"',
  ',',
  '{',
  '\\u0041',
  '1',
  '.0',
  'e0',
  '-',
  '\ufeff',
  '\\',
  '"__proto__":0,',
  '\u00e9',
  '',
];

test('random changes of headers, of their spelling, and of bytes', () => {
  const random = generator(7);
  let [taken, left] = [0, 0];
  const count = (is: boolean) => {
    if (is) taken++;
    else left++;
  };
  for (const [name, bytes] of files) {
    const header = headerOf(bytes);
    const metadata = header.__metadata__ as Record<string, string>;
    for (let i = 0; i < 60; i++) {
      count(compared(withHeader(bytes, JSON.stringify(changedJson(header, random))), name));
      for (const key of ['weights', 'architecture']) {
        const value = JSON.stringify(changedJson(JSON.parse(metadata[key] as string), random));
        const own = { ...header, __metadata__: { ...metadata, [key]: value } };
        count(compared(withHeader(bytes, JSON.stringify(own)), `${name}, ${key}: ${value}`));
      }
      const text = JSON.stringify(header);
      const cut = Math.floor(random() * text.length);
      const put = PIECES[Math.floor(random() * PIECES.length)] as string;
      const spelled = text.slice(0, cut) + put + text.slice(cut + Math.floor(random() * 2));
      count(compared(withHeader(bytes, spelled), `${name}, ${JSON.stringify(put)} at ${cut}`));
      const flipped = bytes.slice();
      const at = Math.floor(random() * (i % 2 === 0 ? bytes.length : 2000)) % bytes.length;
      flipped[at] = (flipped[at] as number) ^ (1 << Math.floor(random() * 8));
      count(compared(flipped, `${name}, bit of byte ${at}`));
      count(compared(bytes.slice(0, Math.floor(random() * bytes.length)), `${name}, cut off`));
    }
  }
  assert.ok(taken > 100 && left > 100, `${taken} the short way, ${left} the long one`);
});

/** A stream in pieces, which fails behind them where it is told to. */
const streamOf = (bytes: Uint8Array, piece: number, error?: Error) =>
  new ReadableStream<Uint8Array>({
    start(controller) {
      for (let at = 0; at < bytes.length; at += piece) controller.enqueue(bytes.slice(at, at + piece));
      if (error) controller.error(error);
      else controller.close();
    },
  });

test('a stream: taken whole, or given back from its beginning', async () => {
  const [bytes] = [...files.values()].sort((a, b) => a.length - b.length) as [Uint8Array];
  const longer = new Uint8Array(bytes.length + 5);
  longer.set(bytes);
  const limit = 2 ** 24;
  for (const piece of [3, 1000, bytes.length]) {
    const taken = await takeQuick(streamOf(bytes, piece), limit);
    assert.ok('bytes' in taken);
    assert.equal(taken.bytes, bytes);
    assert.equal(taken.plan, planQuick(bytes));
    const given: readonly (readonly [Uint8Array, number, Error?])[] = [
      [bytes.slice(0, -1), limit],
      [bytes.slice(0, 5), limit],
      [longer, limit],
      [bytes, bytes.length - 1],
      [bytes.slice(0, 100), limit, new Error('no more')],
      [new TextEncoder().encode('<!doctype html><title>not found</title>'), limit],
      [new Uint8Array(0), limit],
    ];
    for (const [own, most, error] of given) {
      const again = await takeQuick(streamOf(own, piece, error), most);
      assert.ok('stream' in again);
      const told = (work: Promise<unknown>) =>
        work.then(String, (e: { code: string } & Error) => [e.code, e.message]);
      const wanted = await told(takeAny(streamOf(own, piece, error), 'file', { limit: most }));
      assert.equal(await told(takeAny(again.stream, 'file', { limit: most })), wanted);
      assert.ok(Array.isArray(wanted), 'it is refused');
    }
  }
});

test.run();
