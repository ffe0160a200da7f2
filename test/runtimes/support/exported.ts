// Exported models in a page: files beside it, and what it gives held to what Keras made of the same inputs.
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import * as assert from 'uvu/assert';
import { openNpz } from '../../../src/formats/npz.js';
import { launch, resultOf } from './chromium.js';
import { serve } from './server.js';
import { worstOf } from './worst.js';

/** A model with what Keras made of it: outputs of a letter in a file. */
export interface Written {
  readonly label: string;
  readonly bytes: Uint8Array;
  readonly letter: string;
  readonly from: string;
}

/** What a page is told of a model, beside its file. */
export interface PageCase {
  readonly written: Written;
  readonly told: object;
  /** What it ends in, where the engine cannot run it: noticed when it can. */
  readonly ends?: RegExp;
}

/**
 * Runs models in `index.html` of a folder, which fetches `cases.json` and puts its outputs, model by model, into `outputs`, and
 * holds every output that Keras has to 1e-4.
 */
export async function holdInPage(
  chromium: string,
  site: string,
  page: string,
  ending: string,
  cases: readonly PageCase[],
): Promise<void> {
  writeFileSync(path.join(site, 'index.html'), page);
  const list = cases.map(({ written, told }, i) => {
    const file = `${i}${ending}`;
    writeFileSync(path.join(site, file), written.bytes);
    return { file, ...told };
  });
  writeFileSync(path.join(site, 'cases.json'), JSON.stringify(list));
  const server = await serve(site);
  const browser = await launch(chromium);
  try {
    // A text is what a model ended in.
    const found = await resultOf<(number[][] | string)[]>(
      browser,
      `${server.origin}/plain/index.html`,
      'outputs',
    );
    assert.is(found.length, cases.length);
    const wrong = cases.flatMap(({ written: { label }, ends }, i) => {
      const own = found[i];
      const isRight = typeof own === 'string' ? ends?.test(own) : ends === undefined;
      return isRight ? [] : `${label}: ${typeof own === 'string' ? own : 'runs now'}`;
    });
    assert.equal(wrong, []);
    cases.forEach(({ written: { label, letter, from }, ends }, i) => {
      if (ends) return;
      const outputs = found[i] as number[][];
      const right = openNpz(readFileSync(from));
      const keys = right.names.filter((key) => new RegExp(`^${letter}\\d+$`).test(key));
      assert.ok(keys.length > 0, label);
      assert.is(outputs.length, keys.length, `${label}: outputs`);
      outputs.forEach((got, at) => {
        const want = Array.from(right.read(`${letter}${at}`).data as ArrayLike<number>, Number);
        assert.is(got.length, want.length, label);
        const error = worstOf(got, want);
        assert.ok(error <= 1e-4, `${label}: ${error}`);
      });
    });
    process.stdout.write(
      `\nRAN: ${cases.filter(({ ends }) => !ends).length} models in Chromium ${browser.version()}\n`,
    );
  } finally {
    await browser.close();
    server.close();
  }
}
