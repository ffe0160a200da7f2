// Threads beside the one that runs a network: the same bits, whatever they do, and one thread with a reason where there can be none.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { spawnThread } from '../../scripts/lib/spawn-thread.js';
import { kernelBytes } from '../../src/kernels/embedded-runtime.js';
import { loadKernels } from '../../src/kernels/index.js';
import { packedBytes } from '../../src/packed/index.js';
import { type LoadNetworkOptions, loadNetwork as loadAnywhere, type Spawn } from '../../src/runtime/index.js';
import { loadRuntimeKernels } from '../../src/runtime/kernels.js';
import { withSharedMemory } from '../../src/runtime/shared.js';
import { quantized } from '../tfjs/support.js';
import { generator } from './support.js';

const kernels = await loadKernels();
const spawn = spawnThread as Spawn;
const loadNetwork = (bytes: Uint8Array, options: LoadNetworkOptions = {}) =>
  loadAnywhere(bytes, { spawn, ...options });

async function bytesOf(name: string): Promise<Uint8Array> {
  return packedBytes((await quantized(name, kernels)).packed);
}

type Loaded = Awaited<ReturnType<typeof loadNetwork>>;

function inputsOf(network: Loaded, seed: number) {
  const random = generator(seed);
  return Object.fromEntries(
    network.inputs.map(({ name, shape, dtype }) => {
      const size = shape.reduce((n, d) => n * d, 3);
      return [name, dtype === 'float32' ? random.floats(size) : new Float32Array(size).fill(1)];
    }),
  );
}

const listed = (out: Float32Array | Record<string, Float32Array>) =>
  (out instanceof Float32Array ? [out] : Object.values(out)).map((own) => [...own]);

test('two and three threads give the bits of one, decoded and packed, run after run', async () => {
  for (const name of ['cifar10', 'mobilenet_v2', 'conv3d']) {
    const bytes = await bytesOf(name);
    for (const weights of ['decoded', 'packed'] as const) {
      const one = await loadNetwork(bytes, { weights });
      const right = [1, 2].map((seed) => listed(one.run(inputsOf(one, seed))));
      for (const threads of [2, 3]) {
        const network = await loadNetwork(bytes, { weights, threads });
        assert.is(network.summary().threads.count, threads);
        for (let round = 0; round < 3; round++)
          for (const seed of [1, 2])
            assert.equal(
              listed(network.run(inputsOf(network, seed))),
              right[seed - 1],
              `${name}, ${threads}`,
            );
        network.dispose();
      }
    }
  }
});

test('threads take parts of layers', async () => {
  const network = await loadNetwork(await bytesOf('cifar10'), { threads: 2 });
  const inputs = inputsOf(network, 5);
  const end = performance.now() + 20_000;
  while (network.summary().threads.helped === 0 && performance.now() < end) network.run(inputs);
  assert.ok((network.summary().threads.helped as number) > 0);
  network.dispose();
});

test('a thread that never comes leaves its parts to the others', async () => {
  const bytes = await bytesOf('cifar10');
  let ended = 0;
  const spawn: Spawn = () => ({ terminate: () => ended++ });
  const network = await loadAnywhere(bytes, { threads: 4, spawn });
  assert.match(String(network.summary().threads.reason), /^no thread started within 2000 ms/);
  const one = await loadAnywhere(bytes);
  assert.equal(listed(network.run(inputsOf(network, 3))), listed(one.run(inputsOf(one, 3))));
  network.dispose();
  assert.is(ended, 3);
});

test('one thread, and why, where memory cannot be shared; counts that are none are refused', async () => {
  const bytes = await bytesOf('cifar10');
  const reasonOf = async (options: Parameters<typeof loadAnywhere>[1]) =>
    (await loadAnywhere(bytes, { threads: 2, ...options })).summary().threads;
  assert.equal(await reasonOf({ backend: 'reference' }), {
    count: 1,
    reason: 'the reference runs in one thread',
  });
  if (typeof Worker === 'undefined')
    assert.match(String((await reasonOf({})).reason), /no Worker: give the option spawn/);
  const module = await WebAssembly.compile(await kernelBytes());
  assert.match(String((await reasonOf({ module })).reason), /a memory of its own/);
  const own = globalThis.SharedArrayBuffer;
  Reflect.deleteProperty(globalThis, 'SharedArrayBuffer');
  try {
    assert.match(String((await reasonOf({})).reason), /no shared memory/);
  } finally {
    globalThis.SharedArrayBuffer = own;
  }
  for (const threads of [0, 1.5, 65, Number.NaN])
    try {
      await loadAnywhere(bytes, { threads });
      assert.unreachable('a count that is none');
    } catch (error) {
      assert.instance(error, RangeError);
      assert.match((error as Error).message, /"threads" expected an integer from 1 to 64/);
    }
});

test('the module with a shared memory has the exports of the other, and starts at the same size', async () => {
  const bytes = await kernelBytes();
  const { bytes: changed, pages } = withSharedMemory(bytes);
  const [own, other] = [new WebAssembly.Module(bytes), new WebAssembly.Module(changed)];
  assert.equal(WebAssembly.Module.exports(other), WebAssembly.Module.exports(own));
  assert.equal(WebAssembly.Module.imports(other), [{ module: 'env', name: 'memory', kind: 'memory' }]);
  const { memory } = await loadRuntimeKernels();
  assert.ok(memory.buffer.byteLength >= pages * 65536);
  const { shared } = await loadRuntimeKernels({ isShared: true });
  assert.instance(shared?.memory.buffer, SharedArrayBuffer);
});

test.run();
