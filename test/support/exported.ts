// What tests of exported models share: recipes, what Keras made of fixtures, and answers of runtimes in Python.
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import * as assert from 'uvu/assert';
import type { QuantizeOptions } from '../../src/schemes/types.js';
import { root, run } from './needs.js';

/** The recipes by which fixtures are made low-bit: what `q` of a fixture was made with, and others. */
export const RECIPES: Readonly<Record<string, QuantizeOptions>> = {
  int4: { scheme: 'int4', granularity: 'channel', scale: 'absmax' },
  int2: { scheme: 'int2', granularity: 'channel', scale: 'absmax' },
  binary: { scheme: 'binary', granularity: 'channel', scale: 'mean' },
  'int4 groups': { scheme: 'int4', granularity: 'group', groupSize: 16, scale: 'absmax' },
  'int2 groups': { scheme: 'int2', granularity: 'group', groupSize: 5, scale: 'absmax' },
  'binary tensor': { scheme: 'binary', granularity: 'tensor', scale: 'mean' },
};

/** What Keras made of fixtures after int2 (`t0`, ...) and binary (`b0`, ...): `make_recorded.py`. */
export const recorded = path.join(root, 'test/fixtures/onnx');
export const LETTERS: Readonly<Record<string, string>> = { int4: 'q', int2: 't', binary: 'b' };

/** A model for `test/slow/exported.py`. */
export interface Case {
  readonly name: string;
  readonly model: string;
  readonly inputs: string;
  readonly expected?: string;
  readonly letter?: string;
  readonly like?: string;
  /** Without the delegate that LiteRT computes with by default. */
  readonly plain?: boolean;
  readonly classes?: boolean;
}

/** What is said of a case. */
export interface Answer {
  readonly name: string;
  readonly error?: number;
  /** The largest error as a share of the largest output. */
  readonly share?: number;
  /** How often the class is the same. */
  readonly same?: number;
  readonly problem?: string;
  /** Of an ONNX model. */
  readonly nodes?: number;
  readonly transposes?: number;
  /** Of a LiteRT model. */
  readonly operations?: Readonly<Record<string, number>>;
}

/** Runs models by a script of `test/slow`. */
export async function askPython(
  python: string,
  script: 'onnx_run.py' | 'litert_run.py',
  cases: readonly Case[],
  to: string,
): Promise<Answer[]> {
  const list = path.join(to, `${script}-cases.json`);
  writeFileSync(list, JSON.stringify(cases));
  const args = [path.join(root, 'test/slow', script), list];
  const { status, stdout, stderr } = await run(python, args, { timeout: 600_000 });
  if (status !== 0) throw new Error(`Python ended with status ${status}:\n${stderr.trimEnd()}`);
  const answers = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Answer);
  assert.is(answers.length, cases.length, 'an answer for each case');
  return answers;
}

/** Answers by the fixture that a case's name begins with. */
export function byFixture(answers: readonly Answer[]): Map<string, Answer[]> {
  const found = new Map<string, Answer[]>();
  for (const answer of answers) {
    const name = answer.name.split(' ', 1)[0] as string;
    found.set(name, [...(found.get(name) ?? []), answer]);
  }
  return found;
}

/** Holds the error of every answer to a bound. */
export function within(answers: readonly Answer[], most: number): void {
  for (const { name, error, problem } of answers) {
    assert.is(problem, undefined, `${name}: ${problem}`);
    assert.ok((error as number) <= most, `${name}: an error of ${error}`);
  }
}
