// What the fuzz run opens: small files as they are, and how each is damaged. A case is a function of the seed and its
// name alone, so that any of them can be made again.
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { unzipSync, zipSync } from 'fflate';
import { openKeras } from '../../src/keras/index.js';
import { loadKernels } from '../../src/kernels/index.js';
import { packedBytes } from '../../src/packed/index.js';
import { quantizeModel } from '../../src/pipeline/quantize.js';
import type { Recipe } from '../../src/pipeline/recipe.js';
import { root } from './project.js';

/** One undamaged file. */
export interface Sample {
  /** `folder/name` below `test/fixtures` or `examples`, `.safetensors` behind it for what is packed in memory. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

const FIXTURES = path.join(root, 'test', 'fixtures');
/** Cut off at every byte: each kind, HDF5 of Keras 3 and of the writers before it. */
const SMALL = [
  'containers/keras1_tf.h5',
  'containers/shards_00002.weights.h5',
  'containers/deflated.keras',
  'containers/shards.weights.json',
  'containers/keras1_tf.h5.safetensors',
];
/** Cut off at a thousand places. */
const DIGITS = 'digits/digits.h5';
const BIG = [DIGITS, 'containers/subclassed.keras', `${DIGITS}.safetensors`];
const PLACES = 1000;

function fixture(name: string): Uint8Array {
  return new Uint8Array(readFileSync(path.join(FIXTURES, name)));
}

/** Kinds of files, each with as many mutations; the few lists of shards go with the first. */
const KINDS: readonly (readonly [name: string, ending: RegExp])[] = [
  ['h5', /\.(h5|json)$/],
  ['zip', /\.keras$/],
  ['safetensors', /\.safetensors$/],
];

/** Which kind a sample, or a case of it, is of. */
export function kindOf(name: string): string {
  const sample = name.split('#')[0] as string;
  return KINDS.find(([, ending]) => ending.test(sample))?.[0] ?? 'other';
}

/** Every Keras fixture and the example, and some of them packed. */
export async function loadSamples(): Promise<Sample[]> {
  const names = ['keras', 'containers'].flatMap((folder) =>
    readdirSync(path.join(FIXTURES, folder))
      .filter((name) => /\.(h5|keras|weights\.json)$/.test(name))
      .sort()
      .map((name) => `${folder}/${name}`),
  );
  const samples = names.map((name): Sample => ({ name, bytes: fixture(name) }));
  samples.push({ name: DIGITS, bytes: new Uint8Array(readFileSync(path.join(root, 'examples', DIGITS))) });
  const kernels = await loadKernels();
  for (const name of ['containers/keras1_tf.h5', 'keras/keras2_sequential.h5', DIGITS]) {
    const bytes = samples.find((sample) => sample.name === name)?.bytes as Uint8Array;
    const model = await openKeras(bytes, name);
    const recipe: Recipe = { default: { scheme: 'int4', granularity: 'channel' } };
    const { model: packed } = quantizeModel(model, recipe, { kernels });
    samples.push({ name: `${name}.safetensors`, bytes: packedBytes(packed) });
    model.close();
  }
  return samples;
}

/** The lengths at which a sample is cut off. */
function cuts({ name, bytes }: Sample): number[] {
  if (SMALL.includes(name)) return Array.from(bytes.keys());
  if (!BIG.includes(name)) return [];
  return Array.from({ length: PLACES }, (_, i) => Math.floor((i * bytes.length) / PLACES));
}

/** So many of a list, at even distances; all where it has no more. */
const evenly = (list: readonly string[], count: number): string[] =>
  list.length <= count
    ? [...list]
    : Array.from({ length: count }, (_, i) => list[Math.floor((i * list.length) / count)] as string);

/**
 * Names of all cases, truncations spread evenly among the mutations: `SAMPLE#cut-LENGTH`, `SAMPLE#mutation-N`.
 *
 * @param mutations over all kinds of files
 * @param truncations over all kinds of files, at most
 */
export function caseNames(
  samples: readonly Sample[],
  mutations: number,
  truncations = Number.POSITIVE_INFINITY,
): string[] {
  const truncated = KINDS.flatMap(([kind]) => {
    const own = samples.filter(({ name }) => kindOf(name) === kind);
    const all = own.flatMap((sample) => cuts(sample).map((length) => `${sample.name}#cut-${length}`));
    return evenly(all, Math.ceil(truncations / KINDS.length));
  });
  // An odd stride visits the cuts in an order that a run cut short still samples evenly.
  const shuffled = truncated.map((_, i) => truncated[(i * 7919) % truncated.length] as string);
  const byKind = KINDS.map(([kind]) => samples.filter(({ name }) => kindOf(name) === kind));
  const mutated = Array.from({ length: mutations }, (_, i) => {
    const same = byKind[i % KINDS.length] as Sample[];
    const n = Math.floor(i / KINDS.length);
    return `${same[n % same.length]?.name}#mutation-${Math.floor(n / same.length)}`;
  });
  return spread(shuffled, mutated);
}

/** Lists as one, each spread evenly over the whole, so that a run cut short has something of all. */
export function spread(...lists: (readonly string[])[]): string[] {
  return lists
    .flatMap((list) => list.map((name, i) => ({ name, at: (i + 0.5) / list.length })))
    .sort((a, b) => a.at - b.at)
    .map(({ name }) => name);
}

/** Numbers below a bound, the same for the same text. */
export function randomFrom(text: string): (below: number) => number {
  let state = 0x811c9dc5;
  for (const char of text) state = Math.imul(state ^ char.charCodeAt(0), 0x01000193);
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

const EXTREMES = [
  0n,
  1n,
  0x7fn,
  0xffn,
  0xffffn,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  1n << 32n,
  1n << 40n,
  1n << 50n,
  (1n << 63n) - 1n,
  (1n << 64n) - 1n,
];

function joined(...pieces: Uint8Array[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.concat(pieces));
}

/** Replaces a token of JSON text by one that is out of place. */
export function mutatedText(bytes: Uint8Array, random: (below: number) => number): Uint8Array {
  const text = new TextDecoder().decode(bytes);
  const tokens = [...text.matchAll(/"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?|\btrue\b|\bfalse\b|\bnull\b/g)];
  const pick = () => tokens[random(tokens.length)];
  const [at, other] = [pick(), pick()];
  if (!at || !other) return bytes;
  const odd = [
    'null',
    '[]',
    '{}',
    '-1',
    '1e308',
    '1e999',
    '"__proto__"',
    '"constructor"',
    '"toString"',
    '"Lambda"',
    'NaN',
    '""',
    '[[[]]]',
    '0',
    'true',
    '"../x"',
  ];
  const value = random(2) === 0 ? other[0] : (odd[random(odd.length)] as string);
  return new TextEncoder().encode(text.slice(0, at.index) + value + text.slice(at.index + at[0].length));
}

/** Damages bytes once. */
function mutateOnce(bytes: Uint8Array, random: (below: number) => number): Uint8Array {
  if (bytes.length === 0) return bytes;
  const out = bytes.slice();
  const at = random(out.length);
  const end = Math.min(out.length, at + 1 + random(random(2) === 0 ? 8 : 256));
  switch (random(9)) {
    case 0:
    case 1:
      out[at] = (out[at] as number) ^ (1 << random(8));
      return out;
    case 2:
      return out.fill(random(2) * 0xff, at, end);
    case 3:
      return joined(out.subarray(0, at), out.subarray(end));
    case 4:
      return joined(out.subarray(0, end), out.subarray(at));
    case 5: {
      const from = random(out.length);
      return out.copyWithin(at, from, from + end - at);
    }
    case 6:
      return out.subarray(0, at);
    case 7:
      out[at] = random(256);
      return out;
    default: {
      const width = random(2) === 0 ? 4 : 8;
      if (out.length < width) return out;
      const place = Math.min(random(2) === 0 ? at : at & ~7, out.length - width);
      const value = EXTREMES[random(EXTREMES.length)] as bigint;
      const view = new DataView(out.buffer);
      if (width === 4) view.setUint32(place, Number(value & 0xffffffffn), true);
      else view.setBigUint64(place, value, true);
      return out;
    }
  }
}

export function mutateSeveral(bytes: Uint8Array, random: (below: number) => number): Uint8Array {
  let out: Uint8Array = bytes;
  for (let times = 1 + random(3); times > 0; times--) out = mutateOnce(out, random);
  return out;
}

/** The header of a safetensors file changed as text, its length put right. */
function mutatedHeader(bytes: Uint8Array, random: (below: number) => number): Uint8Array {
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const header = mutatedText(bytes.subarray(8, 8 + length), random);
  const size = new Uint8Array(8);
  new DataView(size.buffer).setBigUint64(0, BigInt(header.length), true);
  return joined(size, header, bytes.subarray(8 + length));
}

/** A member of an archive damaged before it is packed: checksums then hold. */
function mutatedMember(bytes: Uint8Array, random: (below: number) => number): Uint8Array {
  const members: Record<string, Uint8Array> = unzipSync(bytes);
  const names = Object.keys(members);
  const name = random(2) === 0 ? 'config.json' : (names[random(names.length)] as string);
  const member = members[name];
  if (!member) return bytes;
  members[name] =
    name.endsWith('.json') && random(4) > 0 ? mutatedText(member, random) : mutateSeveral(member, random);
  return zipSync(members, { level: 0 });
}

/** The bytes of a case. */
export function bytesOfCase(sample: Sample, what: string, seed: number): Uint8Array {
  const [kind, number] = what.split('-');
  if (kind === 'cut') return sample.bytes.slice(0, Number(number));
  const random = randomFrom(`${seed} ${sample.name} ${what}`);
  if (random(2) === 0) {
    if (sample.name.endsWith('.keras')) return mutatedMember(sample.bytes, random);
    if (sample.name.endsWith('.safetensors')) return mutatedHeader(sample.bytes, random);
    if (sample.name.endsWith('.json')) return mutatedText(sample.bytes, random);
  }
  return mutateSeveral(sample.bytes, random);
}
