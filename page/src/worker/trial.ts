import { BitnibbleError } from 'bitnibble';
import { loadNetwork, type ModelSource, type RunnableNetwork } from 'bitnibble/runtime';
import { scalesItself } from '../../../src/pipeline/input-range.js';
import type { How, Runs, Tried, TriedColumn } from './protocol.js';
import { readSamples } from './samples.js';

/** A network to run: its title, and what it is loaded from. */
export interface TrialEntry {
  readonly title: string;
  readonly source: ModelSource;
}

/** A time is the least of so many: what else the machine does only ever adds. */
const TIMED_ROUNDS = 15;
/** Each round lasts at least so many milliseconds: clocks of pages go by steps of 0.1. */
const LEAST = 2;
const MOST_SCORES = 1000;

/** Milliseconds of one call of each, taken in turns, so that what else the machine does falls on all of them. */
export function timesOf(works: readonly (() => void)[]): number[] {
  const times = works.map(() => Number.POSITIVE_INFINITY);
  for (let round = 0; round < TIMED_ROUNDS; round++) {
    for (const [i, work] of works.entries()) {
      const start = performance.now();
      let elapsed = 0;
      let calls = 0;
      for (; elapsed < LEAST; calls++) {
        work();
        elapsed = performance.now() - start;
      }
      times[i] = Math.min(times[i] as number, elapsed / calls);
    }
  }
  return times;
}

/** Networks that are run on what somebody drops; loaded when the first is asked for. */
export class Trial {
  readonly #networks = new Map<TrialEntry, Promise<RunnableNetwork>>();

  /** @param entries the last is the packed one, of which {@link runs} speaks */
  constructor(private readonly entries: readonly TrialEntry[]) {}

  async runs(): Promise<Runs> {
    const entry = this.entries.at(-1) as TrialEntry;
    try {
      const { inputs, outputs, summary } = await this.#load(entry);
      const { bytes } = summary;
      return {
        ...{ runs: true, inputs, outputs, bytes: bytes.weights + bytes.rooms + bytes.tensors },
        rescales: scalesItself(entry.source),
      };
    } catch (error) {
      const { message } = error as Error;
      return { runs: false, message, ...(error instanceof BitnibbleError ? { code: error.code } : {}) };
    }
  }

  async tryOn(file: File, how: How): Promise<Tried> {
    const loaded = await Promise.all(this.entries.map((entry) => this.#load(entry)));
    const inputs = loaded[0]?.inputs ?? [];
    const [input] = inputs;
    if (!input || inputs.length !== 1)
      throw new BitnibbleError(
        'data-mismatch',
        `${file.name}: expected a network of one input, this takes ${inputs.length}`,
      );
    const { values, ...samples } = await readSamples(file, input.shape, how);
    const size = values.length / samples.samples;
    const one = values.subarray(0, size);
    const outputs = loaded.map(({ network }) => firstOf(network.run(values)));
    const times = timesOf(
      loaded.map(
        ({ network }) =>
          () =>
            void network.run(one),
      ),
    );
    const columns = this.entries.map(({ title }, i): TriedColumn => {
      const shape = (loaded[i]?.outputs[0]?.shape ?? []) as readonly number[];
      const scores = (outputs[i] as Float32Array).subarray(
        0,
        (outputs[i] as Float32Array).length / samples.samples,
      );
      const [first] = outputs as [Float32Array];
      return {
        ...{ title, shape, scores: [...scores.subarray(0, MOST_SCORES)], milliseconds: times[i] as number },
        ...(i > 0 ? { against: compare(first, outputs[i] as Float32Array, samples.samples) } : {}),
      };
    });
    return { ...samples, columns };
  }

  async #load(entry: TrialEntry) {
    const known = this.#networks.get(entry) ?? loadNetwork(entry.source);
    this.#networks.set(entry, known);
    const network = await known;
    return { network, inputs: network.inputs, outputs: network.outputs, summary: network.summary() };
  }
}

const firstOf = (result: Float32Array | Record<string, Float32Array>) =>
  result instanceof Float32Array ? result : (Object.values(result)[0] as Float32Array);

function compare(before: Float32Array, after: Float32Array, samples: number) {
  const size = before.length / samples;
  const best = (values: Float32Array) =>
    values.reduce((most, value, i) => (value > (values[most] as number) ? i : most), 0);
  let same = 0;
  let difference = 0;
  for (let n = 0; n < samples; n++) {
    const [a, b] = [before, after].map((all) => all.subarray(n * size, (n + 1) * size));
    if (a && b && best(a) === best(b)) same++;
  }
  for (const [i, value] of before.entries())
    difference = Math.max(difference, Math.abs(value - (after[i] as number)));
  return { same, difference };
}
