// Which four levels two bits should mean: half-integers (-1.5, -0.5, 0.5, 1.5 times the scale) or two's complement
// itself (-2, -1, 0, 1 times a scale of either sign). Signal to noise with the best scale for each channel.
//
//   node --import tsx bench/levels.ts [model.h5]
//
// The best scale is searched the same way for both: 200 scales up to the largest weight, then Lloyd's iteration from the
// best of them. Exits with 1 without data.

import { openKeras } from '../src/node/models.js';
import { blockLayout } from '../src/shape.js';

type Level = (x: number) => number;

const clamp = (x: number, low: number, high: number) => Math.min(high, Math.max(low, x));
const half: Level = (x) => clamp(Math.floor(x), -2, 1) + 0.5;
const whole: Level = (x) => clamp(Math.round(x), -2, 1);

/** What one scale takes off the squared error, and the best scale for its codes. */
function project(weights: ArrayLike<number>, scale: number, level: Level): { gain: number; next: number } {
  let wl = 0;
  let ll = 0;
  for (let i = 0; i < weights.length; i++) {
    const w = weights[i] as number;
    const l = level(w / scale);
    wl += w * l;
    ll += l * l;
  }
  return ll === 0 ? { gain: 0, next: scale } : { gain: (wl * wl) / ll, next: wl / ll };
}

/** The squared error that the best scale leaves. */
function leastError(
  weights: ArrayLike<number>,
  level: Level,
  signs: readonly number[],
): [signal: number, noise: number] {
  let signal = 0;
  let most = 0;
  for (let i = 0; i < weights.length; i++) {
    signal += (weights[i] as number) ** 2;
    most = Math.max(most, Math.abs(weights[i] as number));
  }
  if (most === 0) return [0, 0];
  let best = { gain: 0, next: most };
  for (const sign of signs) {
    for (let step = 1; step <= 200; step++) {
      const found = project(weights, (sign * most * step) / 200, level);
      if (found.gain > best.gain) best = found;
    }
  }
  for (let step = 0; step < 50; step++) {
    const found = project(weights, best.next, level);
    if (found.gain <= best.gain) break;
    best = found;
  }
  return [signal, signal - best.gain];
}

function decibel(blocks: readonly ArrayLike<number>[], level: Level, signs: readonly number[]): string {
  let [signal, noise] = [0, 0];
  for (const block of blocks) {
    const [s, n] = leastError(block, level, signs);
    signal += s;
    noise += n;
  }
  return (10 * Math.log10(signal / noise)).toFixed(2).padStart(8);
}

/** Channels of length `rows` of a normal distribution (Box and Muller), the same in every run. */
function gaussian(rows: number, channels: number): Float64Array[] {
  let state = 1;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state + 0.5) / 2 ** 32;
  };
  const normal = () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
  return Array.from({ length: channels }, () => Float64Array.from({ length: rows }, normal));
}

async function kernelsOf(file: string): Promise<number[][]> {
  const model = await openKeras(file);
  const channels: number[][] = [];
  for (const { id, name, shape } of model.weights) {
    if (name !== 'kernel') continue;
    const values = model.read(id);
    const { outer, channels: count } = blockLayout(shape, 'channel', [shape.length - 1]);
    for (let c = 0; c < count; c++) {
      channels.push(Array.from({ length: outer }, (_, row) => values[row * count + c] as number));
    }
  }
  model.close();
  return channels;
}

const sets: [string, readonly ArrayLike<number>[]][] = [
  ['normal, 1024 channels of 32', gaussian(32, 1024)],
  ['normal, 256 channels of 1152', gaussian(1152, 256)],
];
const file = process.argv[2];
if (file) sets.push([`kernels of ${file.split('/').at(-1)}, per channel`, await kernelsOf(file)]);

console.log(`${'dB with the best scale'.padEnd(44)} half-integers   q * scale`);
for (const [name, blocks] of sets) {
  console.log(`${name.padEnd(44)} ${decibel(blocks, half, [1])}      ${decibel(blocks, whole, [1, -1])}`);
}
