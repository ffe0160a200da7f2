// The runtime of plain networks alone: the bits of the whole one, or a refusal that names it.
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadKernels } from '../../src/kernels/index.js';
import { packedBytes } from '../../src/packed/index.js';
import { loadNetwork as loadAny } from '../../src/runtime/index.js';
import { loadNetwork } from '../../src/runtime/plain.js';
import { root } from '../support/needs.js';
import { rejects } from '../support/throws.js';
import { everyName, quantized } from '../tfjs/support.js';

const kernels = await loadKernels();
const examples = ['digits', 'mobilenet'];
const fileOf = (name: string) =>
  examples.includes(name) ? path.join(root, 'examples', name, `${name}.h5`) : undefined;

/** A file of every kind, those of lengths that are not fixed left out. */
test('the same bits as the whole runtime, or a refusal that names it', async () => {
  let [same, refused] = [0, 0];
  for (const name of [...examples, ...everyName.filter((_, i) => i % 4 === 0)]) {
    const { packed } = await quantized(name, kernels, fileOf(name));
    const bytes = packedBytes(packed);
    try {
      const network = await loadNetwork(bytes, { name });
      const whole = await loadAny(new Response(bytes as Uint8Array<ArrayBuffer>), { name });
      const inputs = Object.fromEntries(
        network.inputs.map((port) => {
          const size = port.shape.reduce((a, b) => a * b, 1);
          return [port.name, Float32Array.from({ length: size }, (_, i) => Math.sin(i))];
        }),
      );
      assert.equal(network.run(inputs), whole.run(inputs), name);
      assert.equal(network.summary(), whole.summary(), name);
      same++;
    } catch (error) {
      const { code, message } = error as { code?: string } & Error;
      assert.is(code, 'unsupported-layer', `${name}: ${message}`);
      assert.match(message, /bitnibble\/runtime\/plain takes .* alone: bitnibble\/runtime may take it/);
      assert.not(examples.includes(name), message);
      refused++;
    }
  }
  assert.ok(same >= 3 && refused >= 3, `${same} ran, ${refused} were refused`);
});

test('files that are none and options of the whole runtime', async () => {
  await rejects(
    loadNetwork(new Uint8Array(9), { name: 'mine' }),
    'unsupported-layer',
    /^mine: bitnibble\/runtime\/plain takes packed files/,
  );
  await rejects(
    loadNetwork(new Response('no file')),
    'unsupported-layer',
    /^packed model: bitnibble\/runtime\/plain takes packed files/,
  );
  for (const options of [{ threads: 2 }, { ranges: 'stored' }, { backend: 'reference' }])
    await rejects(
      loadNetwork(new Uint8Array(9), options as object),
      'TypeError',
      /expected nothing: an option of bitnibble\/runtime/,
    );
  await rejects(
    loadNetwork(3 as never),
    'TypeError',
    /"source" expected bytes, a Response, a Blob or a model/,
  );
});

test.run();
