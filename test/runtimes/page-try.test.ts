// The page on data of one's own: drawings over a digit, images, arrays, packed files, linked models, and the code that it shows.
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { build } from 'esbuild';
import type { Page } from 'playwright-core';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as format from '../../page/src/format.js';
import { writeNpy } from '../../src/formats/npy.js';
import { loadKernels, openPacked, packedBytes, QuantizedModel } from '../../src/index.js';
import { openKeras } from '../../src/keras/index.js';
import { loadNetwork } from '../../src/runtime/index.js';
import { fakeKeras } from '../support/h5.js';
import { need, root, run, runCli, tempDir } from '../support/needs.js';
import { greyPng } from '../support/png.js';
import { launch, resultOf } from './support/chromium.js';
import { packedDigits, testDigits } from './support/digits.js';
import {
  answers,
  choose,
  digitsFile,
  download,
  drop,
  openSite,
  type Site,
  takeDemo,
} from './support/page.js';
import { emptyProject } from './support/project.js';
import { serve } from './support/server.js';
import { startWorker } from './support/workerd.js';

const test = suite('the page on data of ones own');
const withChromium = need(test, 'chromium');
const kernels = await loadKernels();
const { pixels } = testDigits(20);
const digits = new Uint8Array(readFileSync(digitsFile));
let site: Site | undefined;
test.after(() => site?.close());

async function visit(chromium: string, ...args: Parameters<Site['visit']>): Promise<Page> {
  site ??= await openSite(chromium);
  return site.visit(...args);
}

function inPage(name: string, body: (page: Page) => Promise<void>): void {
  withChromium(name, async ({ chromium }) => {
    const page = await visit(chromium);
    try {
      await body(page);
    } finally {
      await page.context().close();
    }
    assert.equal(site?.faults(), []);
  });
}

/** The listed outputs of a column: `[index, value]`, the largest first. */
async function listed(page: Page, title: string): Promise<[string, string][]> {
  return page
    .locator(`[data-column="${title}"] .scores li`)
    .evaluateAll((rows) =>
      rows.map((row) => [
        row.querySelector('.index')?.textContent ?? '',
        row.querySelector('.score-value')?.textContent ?? '',
      ]),
    ) as Promise<[string, string][]>;
}

function wantedList(scores: Float32Array): [string, string][] {
  const order = [...scores.keys()].sort((a, b) => (scores[b] as number) - (scores[a] as number));
  return order.slice(0, 5).map((at) => [String(at), format.value(scores[at] as number)]);
}

/** Ink of the pad, counted by the page's own canvas. */
const ink = (page: Page) =>
  page.locator('.pad canvas').evaluate((canvas) => {
    const { data } = (canvas as HTMLCanvasElement).getContext('2d')?.getImageData(0, 0, 280, 280) ?? {
      data: [],
    };
    // Within the column of the stroke, and all of it.
    let [inside, all] = [0, 0];
    for (let i = 0; i < 280 * 280; i++) {
      if ((data[4 * i + 3] as number) < 128) continue;
      all++;
      if (Math.abs((i % 280) - 140) <= 14) inside++;
    }
    return { inside, all };
  });

for (const how of ['mouse', 'touch'] as const) {
  withChromium(`the first stroke over a test digit is drawn, by ${how}`, async ({ chromium }) => {
    const page = await visit(chromium, { hasTouch: how === 'touch' });
    await takeDemo(page);
    await page.getByText('from the test set').waitFor();
    const pad = page.getByRole('application', { name: 'Drawing pad' });
    await pad.scrollIntoViewIfNeeded();
    const box = await pad.boundingBox();
    if (!box) throw new Error('the pad is not there');
    const x = box.x + box.width / 2;
    const ys = Array.from({ length: 13 }, (_, i) => box.y + ((5 + 1.5 * i) / 28) * box.height);
    if (how === 'mouse') {
      await page.mouse.move(x, ys[0] as number);
      await page.mouse.down();
      for (const y of ys.slice(1)) await page.mouse.move(x, y);
      await page.mouse.up();
    } else {
      const tools = await page.context().newCDPSession(page);
      const touch = (type: 'touchStart' | 'touchMove' | 'touchEnd', y?: number) =>
        tools.send('Input.dispatchTouchEvent', { type, touchPoints: y === undefined ? [] : [{ x, y }] });
      await touch('touchStart', ys[0]);
      for (const y of ys.slice(1)) await touch('touchMove', y);
      await touch('touchEnd');
    }
    const { inside, all } = await ink(page);
    // A line of 180 by 24 of the canvas' pixels; the digit that was there is gone.
    assert.ok(inside > 4000 && inside < 6500, `${inside} pixels of ink`);
    assert.is(all, inside);
    await page.waitForFunction(
      () => document.querySelector('[data-network=float32] .value')?.textContent === '1',
    );
    assert.is((await answers(page)).int4?.digit, '1');
    await page.context().close();
    assert.equal(site?.faults(), []);
  });
}

inPage(
  'a model without kernels: nothing is said to be smaller, and there is nothing to download',
  async (page) => {
    const scale = { name: 'gamma', shape: [3], data: Float32Array.of(1, 2, 3) };
    const bytes = await fakeKeras([
      { name: 'norm', className: 'LayerNormalization', weights: [scale] },
    ] as never);
    await choose(page, { name: 'norm.h5', bytes });
    await page.getByText('there is nothing to round').waitFor();
    assert.is(await page.getByTestId('ratio').count(), 0);
    assert.is(await page.getByRole('link', { name: 'Download' }).count(), 0);
    assert.is(await page.getByText('smaller').count(), 0);
  },
);

inPage('sizes are those of the command, folded or not, and float32 has one', async (page) => {
  await takeDemo(page);
  const command = async (fold: string) => {
    const output = path.join(tempDir(), 'digits.safetensors');
    const args = [
      'quantize',
      digitsFile,
      '-o',
      output,
      '--scheme',
      'int4',
      '--granularity',
      'channel',
      fold,
      '--quiet',
    ];
    const { status, output: said } = await runCli(args);
    assert.is(status, 0, said);
    return new Uint8Array(readFileSync(output));
  };
  for (const [value, fold] of [
    ['folded', '--fold'],
    ['kept', '--no-fold'],
  ] as const) {
    await page.locator(`input[name=fold][value=${value}]`).check();
    const wanted = await command(fold);
    await page.getByText(`${format.count(wanted.length)} bytes, architecture`).waitFor();
    assert.equal((await download(page)).bytes, wanted, value);
  }
  const before = await page.locator('.big span').first().textContent();
  assert.is(before, format.bytes(4 * 69_146));
  assert.is(await page.locator('[data-network=float32] header .muted').textContent(), before);
});

inPage('a packed file: levels, what runs, and its answers to an image and to arrays', async (page) => {
  const bytes = await packedDigits(true);
  await drop(page, 'mine.safetensors', bytes);
  await page.getByTestId('runs').getByText('28 × 28 × 1').waitFor();
  const packed = openPacked(bytes, kernels);
  const weight = packed.weight('dense1/kernel');
  assert.is(weight.kind, 'quantized');
  if (weight.kind !== 'quantized') return;
  const counts = new Map(Array.from({ length: 16 }, (_, i) => [i - 8, 0]));
  for (const byte of weight.tensor.codes)
    for (const code of [byte & 15, byte >> 4]) {
      const level = (code << 28) >> 28;
      counts.set(level, (counts.get(level) as number) + 1);
    }
  const levels = [...counts].map(([value, count]) => `${value}: ${count}`).join(', ');
  await page
    .getByRole('img', { name: `Codes of dense1/kernel by level, in steps of their scale. ${levels}` })
    .waitFor();

  const network = await loadNetwork(bytes);
  for (const n of [0, 7]) {
    const digit = pixels.slice(784 * n, 784 * (n + 1));
    const scores = network.run(Float32Array.from(digit, (p) => p / 255));
    // Dropped anywhere, ink on white paper: the page makes the dark bright.
    await drop(
      page,
      `digit-${n}.png`,
      greyPng(
        28,
        28,
        digit.map((p) => 255 - p),
      ),
    );
    await page.getByText(`digit-${n}.png: 28 × 28 pixels`).waitFor();
    await page.getByRole('checkbox', { name: 'dark becomes bright' }).check();
    const deadline = performance.now() + 20_000;
    while (
      JSON.stringify(await listed(page, 'packed')) !== JSON.stringify(wantedList(scores)) &&
      performance.now() < deadline
    )
      await page.waitForTimeout(50);
    assert.equal(await listed(page, 'packed'), wantedList(scores), `digit ${n}`);
    await page.getByRole('checkbox', { name: 'dark becomes bright' }).uncheck();
  }
  await drop(page, 'wrong.npy', writeNpy({ shape: [2, 3], data: new Float32Array(6) }));
  await page.getByText('expected samples of shape [28,28,1], which the network takes, got [3]').waitFor();
  await drop(page, 'no.png', new TextEncoder().encode('no picture'));
  await page.getByText('no.png: expected an image that this browser reads').waitFor();
});

inPage('before and after on arrays of ones own', async (page) => {
  await choose(page, digitsFile);
  await page.getByTestId('runs').waitFor();
  const values = Float32Array.from(pixels, (p) => p / 255);
  await drop(page, 'mine.npy', writeNpy({ shape: [20, 28, 28, 1], data: values }));
  await page.getByText('mine.npy: 20 samples of shape [28, 28, 1]').waitFor();
  const model = await openKeras(digits, 'digits.h5');
  const before = (await loadNetwork(model)).run(values);
  model.close();
  const after = (await loadNetwork(await packedDigits(true))).run(values);
  assert.equal(await listed(page, 'float32, before'), wantedList(before.subarray(0, 10)));
  assert.equal(await listed(page, 'rounded, after'), wantedList(after.subarray(0, 10)));
  const most = before.reduce((m, value, i) => Math.max(m, Math.abs(value - (after[i] as number))), 0);
  const best = (all: Float32Array, n: number) => {
    const own = all.subarray(10 * n, 10 * n + 10);
    return own.indexOf(Math.max(...own));
  };
  const same = Array.from({ length: 20 }, (_, n) => n).filter(
    (n) => best(before, n) === best(after, n),
  ).length;
  assert.is(
    await page.getByTestId('verdict').textContent(),
    `The same answer for ${same} of 20 samples, outputs differ by ${format.value(most)} at most.`,
  );
  // Another rounding answers again, to the same samples.
  await page.locator('input[name=scheme][value=binary]').check();
  await page.locator('.take').getByText('digits.binary.safetensors').waitFor();
  await page.waitForFunction(
    (old) => document.querySelector('[data-testid=verdict]')?.textContent !== old,
    `The same answer for ${same} of 20 samples, outputs differ by ${format.value(most)} at most.`,
  );
});

inPage('what the runtime cannot run is refused by its layer', async (page) => {
  const packed = openPacked(await packedDigits(true), kernels);
  const text = JSON.stringify(packed.architecture).replace('MaxPooling2D', 'MyPooling');
  const changed = new QuantizedModel({ ...packed, architecture: JSON.parse(text) }, packed.weights, kernels);
  const bytes = packedBytes(changed);
  const message = await loadNetwork(bytes, { name: 'other.safetensors' }).then(
    () => '',
    (error: Error) => error.message,
  );
  assert.match(message, /pool1 \(MyPooling\)/);
  await drop(page, 'other.safetensors', bytes);
  await page.getByTestId('refusal').getByText(message).waitFor();
  assert.match((await page.getByTestId('snippet').textContent()) ?? '', 'bitnibble/reader');
  assert.is(await page.locator('.contents tbody tr').count(), packed.weights.length);
});

const withAll = need(test, 'chromium', 'workerd');
withAll(
  'the code that it shows runs this very file: in a page, in Node.js, in a Worker',
  async ({ chromium, workerd }) => {
    const page = await visit(chromium);
    await choose(page, { name: "it's mine.h5", bytes: digits });
    const { name, bytes } = await download(page);
    assert.is(name, "it's mine.int4.safetensors");
    const snippets: Record<string, string> = {};
    for (const title of ['Page', 'Node', 'Worker']) {
      await page.getByRole('radio', { name: title }).check();
      snippets[title] = (await page.getByTestId('snippet').textContent()) ?? '';
    }
    await page.context().close();
    const wanted = [...(await loadNetwork(bytes)).run(new Float32Array(784))];
    const folder = emptyProject(path.join(root, 'node_modules'));
    writeFileSync(path.join(folder, name), bytes);

    writeFileSync(path.join(folder, 'node.js'), snippets.Node as string);
    const { status, stdout, output } = await run(process.execPath, ['node.js'], { cwd: folder });
    assert.is(status, 0, output);
    const printed = [...stdout.matchAll(/-?\d+\.\d+(e-\d+)?/g)].map(([text]) => Math.fround(Number(text)));
    assert.equal(printed, wanted);

    const bundle = (entry: string, external: string[]) =>
      build({
        ...{ entryPoints: [path.join(folder, entry)], outfile: path.join(folder, `out-${entry}`), external },
        ...{ bundle: true, format: 'esm', target: 'es2022', logLevel: 'warning' },
      });
    writeFileSync(
      path.join(folder, 'page.js'),
      `globalThis.result = (async () => {\n${snippets.Page?.replace(/^import .*$/m, '')}\nreturn [...output];\n})();`.replace(
        /^/,
        `${/^import .*$/m.exec(snippets.Page as string)?.[0]}\n`,
      ),
    );
    await bundle('page.js', ['node:*']);
    writeFileSync(
      path.join(folder, 'index.html'),
      '<!doctype html><title>Test</title><link rel="icon" href="data:,"><script type="module" src="out-page.js"></script>',
    );
    const server = await serve(folder);
    const browser = await launch(chromium);
    try {
      assert.equal(await resultOf<number[]>(browser, `${server.origin}/index.html`, 'result'), wanted);
    } finally {
      await browser.close();
      server.close();
    }

    writeFileSync(path.join(folder, 'worker.js'), snippets.Worker as string);
    await bundle('worker.js', ['*.wasm', '*.safetensors']);
    const wasm = { 'bitnibble/runtime.wasm': 'node_modules/bitnibble/build/runtime.wasm' };
    const worker = await startWorker(workerd, folder, 'out-worker.js', wasm, { [name]: name });
    try {
      const response = await worker.fetch('http://worker/', {
        method: 'POST',
        body: new Uint8Array(4 * 784),
      });
      assert.equal(await response.json(), wanted);
    } finally {
      await worker.stop();
    }
    assert.equal(site?.faults(), []);
  },
);

/** A server of models on another origin; what it was asked for. */
async function models(listener: RequestListener) {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    response.setHeader('access-control-allow-origin', '*');
    listener(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  return { origin, asked, close };
}

const HIDDEN = [
  /Content Security Policy/,
  /Failed to load resource/,
  /csp$/,
  /Refused to connect/,
  /net::ERR/,
];

withChromium(
  'a link to a model: its size is asked first, then it is read like a file',
  async ({ chromium }) => {
    const server = await models((request, response) => {
      const { url = '', method } = request;
      if (url.startsWith('/missing')) return void response.writeHead(404).end();
      const says = url.startsWith('/liar') ? 1000 : digits.length;
      if (url.startsWith('/huge')) return void response.writeHead(200, { 'content-length': 2 ** 40 }).end();
      if (method === 'HEAD') return void response.writeHead(200, { 'content-length': says }).end();
      response.writeHead(200, url.startsWith('/liar') ? {} : { 'content-length': says }).end(digits);
    });
    const open = (url: string) => visit(chromium, {}, `#model=${encodeURIComponent(url)}`);
    try {
      const page = await open(`${server.origin}/some/my%20model.h5`);
      const offer = page.getByRole('region', { name: 'This link opens my model.h5' });
      await offer.getByText(`${new URL(server.origin).host}, 331 kB`).waitFor();
      assert.equal(server.asked, ['HEAD /some/my%20model.h5']);
      await offer.getByRole('button', { name: 'Fetch and open it' }).click();
      await page.getByRole('heading', { name: 'my model.h5', level: 1 }).waitFor();
      await page.getByText('48,640 bytes').waitFor();
      assert.equal(server.asked.slice(1), ['GET /some/my%20model.h5']);
      await page.context().close();
      // Chromium says so of requests for the head alone.
      const head = `${server.origin}/some/my%20model.h5: net::ERR_ABORTED`;
      assert.equal(
        site?.faults().filter((fault) => fault !== head),
        [],
      );

      for (const [url, message] of [
        [`${server.origin}/liar.h5`, /sends more than the 1000 bytes that it announced/],
        [`${server.origin}/huge.h5`, /expected at most 1 GiB/],
        [`${server.origin}/missing.h5`, /answers with status 404/],
        ['http://example.org/model.h5', /#model expected the https address of a model, got http:/],
        ['javascript:alert(1)', /#model expected the https address/],
        [`${server.origin.replace('//', '//me:secret@')}/a.h5`, /#model expected the https address/],
      ] as const) {
        const next = await open(url);
        if (url.includes('liar')) await next.getByRole('button', { name: 'Fetch and open it' }).click();
        await next.getByRole('alert').getByText(message).waitFor();
        await next.context().close();
      }
      assert.equal(
        site?.faults().filter((fault) => !HIDDEN.some((known) => known.test(fault))),
        [],
      );
    } finally {
      server.close();
    }
  },
);

withChromium('a link opens the way to its own server and to no other', async ({ chromium }) => {
  const [one, two] = await Promise.all([
    models((_, response) => void response.writeHead(200, { 'content-length': digits.length }).end(digits)),
    models((_, response) => void response.end('x')),
  ]);
  try {
    const page = await visit(chromium, {}, `#model=${one.origin}/model.h5`);
    await page.getByRole('button', { name: 'Fetch and open it' }).click();
    await page.getByTestId('ratio').waitFor();
    const [worker] = page.workers();
    assert.ok(worker);
    const reach = (target: string) =>
      new Promise<boolean>((resolve) => {
        setTimeout(() =>
          fetch(target).then(
            () => resolve(true),
            () => resolve(false),
          ),
        );
      });
    const own = `${one.origin}/again`;
    assert.equal([await page.evaluate(reach, own), await worker.evaluate(reach, own)], [true, true]);
    const other = `${two.origin}/`;
    assert.equal([await page.evaluate(reach, other), await worker.evaluate(reach, other)], [false, false]);
    assert.equal(two.asked, []);
    await page.context().close();
    site?.faults();
  } finally {
    one.close();
    two.close();
  }
});

test.run();
