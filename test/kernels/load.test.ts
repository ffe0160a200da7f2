// The doors of loadKernels, the module's size, and the memory that it takes.

import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { kernelBytes } from '../../src/kernels/embedded.js';
import { kernelBytes as linalgBytes } from '../../src/kernels/embedded-linalg.js';
import { kernelBytes as readerBytes } from '../../src/kernels/embedded-reader.js';
import { loadKernels } from '../../src/kernels/index.js';
import { loadDecoder } from '../../src/kernels/reader.js';
import { rejects } from '../support/throws.js';
import { backends, columns, hex, makeWeights, SMALL_ARENA, tensor } from './support.js';

const weights = Float32Array.of(1, -1, 1, 1);

/** A module that is valid and exports nothing. */
const EMPTY = Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0);
/** A module that imports the function `a.b`. */
const IMPORTING = Uint8Array.of(...EMPTY, ...[1, 4, 1, 96, 0, 0, 2, 7, 1, 1, 97, 1, 98, 0, 0]);

const built = (name: string) => readFileSync(new URL(`../../build/${name}.wasm`, import.meta.url));

test('the modules stay small, and the embedded ones are the built ones', () => {
  assert.ok(built('kernels').length < 16 * 1024);
  assert.ok(built('reader').length < 6 * 1024);
  assert.is(hex(kernelBytes()), hex(built('kernels')));
  assert.is(hex(readerBytes()), hex(built('reader')));
  assert.is(hex(linalgBytes()), hex(built('linalg')));
});

test('the modules import nothing', () => {
  assert.equal(WebAssembly.Module.imports(new WebAssembly.Module(kernelBytes())), []);
  assert.equal(WebAssembly.Module.imports(new WebAssembly.Module(readerBytes())), []);
  assert.equal(WebAssembly.Module.imports(new WebAssembly.Module(linalgBytes())), []);
});

test('loadDecoder: the embedded module, and either module in any form', async () => {
  const codes = Uint8Array.of(0x7f, 0x08);
  for (const bytes of [undefined, readerBytes(), kernelBytes()]) {
    const module = bytes && new WebAssembly.Module(bytes);
    const instance = module && new WebAssembly.Instance(module);
    for (const door of [module, instance, instance?.exports]) {
      const decoder = await loadDecoder({ module: door });
      assert.equal([...decoder.unpackInt4(codes, Float32Array.of(2), tensor(3))], [-2, 14, -16]);
      assert.equal([...decoder.unpackSign(codes, Float32Array.of(2), tensor(9))].slice(6), [2, -2, -2]);
    }
  }
});

test('loadDecoder and loadKernels refuse what is not theirs', async () => {
  const module = new WebAssembly.Module(readerBytes());
  await rejects(
    loadKernels({ module }),
    'bad-module',
    /expected kernels.wasm of bitnibble, got its reader.wasm/,
  );
  await rejects(loadDecoder({ module: {} }), 'bad-module', /"module" expected/);
  await rejects(loadDecoder({ module: null as never }), 'TypeError', /"module" expected/);
});

test('a host that refuses to compile bytes is told what to do', async () => {
  const { compile } = WebAssembly;
  try {
    WebAssembly.compile = () => Promise.reject(new WebAssembly.CompileError('disallowed by embedder'));
    await rejects(loadKernels(), 'no-compile', /hand in bitnibble\/kernels.wasm .*disallowed by embedder/);
    await rejects(loadDecoder(), 'no-compile', /hand in bitnibble\/reader.wasm/);
  } finally {
    WebAssembly.compile = compile;
  }
});

test('loadKernels: a Module, an Instance, its exports, and copies of those', async () => {
  const module = new WebAssembly.Module(kernelBytes());
  const instance = new WebAssembly.Instance(module);
  for (const door of [module, instance, instance.exports, { ...instance.exports }]) {
    const kernels = await loadKernels({ module: door });
    assert.is(kernels.backend, 'simd');
    assert.is(hex(kernels.packSign(weights)), '0d');
  }
});

test('loadKernels: two wrappers share an instance', async () => {
  const instance = new WebAssembly.Instance(new WebAssembly.Module(kernelBytes()));
  const a = await loadKernels({ module: instance });
  const bytes = (instance.exports.memory as WebAssembly.Memory).buffer.byteLength;
  const b = await loadKernels({ module: instance });
  assert.is((instance.exports.memory as WebAssembly.Memory).buffer.byteLength, bytes);
  assert.equal(a.absSum(weights, tensor(4)), b.absSum(weights, tensor(4)));
});

test('loadKernels: memory that someone else grows in between', async () => {
  const instance = new WebAssembly.Instance(new WebAssembly.Module(kernelBytes()));
  const kernels = await loadKernels({ module: instance });
  (instance.exports.memory as WebAssembly.Memory).grow(1);
  assert.is(hex(kernels.packSign(weights)), '0d');
});

test('loadKernels: modules that are not bitnibble’s', async () => {
  const empty = new WebAssembly.Module(EMPTY);
  const importing = new WebAssembly.Module(IMPORTING);
  for (const module of [empty, importing, new WebAssembly.Instance(empty), {}, { memory: {} }]) {
    await rejects(loadKernels({ module }), 'bad-module', /"module" expected/);
  }
  const exports = { ...new WebAssembly.Instance(new WebAssembly.Module(kernelBytes())).exports };
  const other = { ...exports, bitnibbleAbi: () => 999 };
  await rejects(loadKernels({ module: other }), 'bad-module', /ABI 2, got 999/);
});

test('loadKernels: wrong arguments', async () => {
  for (const module of [null, 3, 'kernels.wasm']) {
    const options = { module } as unknown as Parameters<typeof loadKernels>[0];
    await rejects(loadKernels(options), 'TypeError', /"module" expected a WebAssembly.Module/);
  }
  await rejects(
    loadKernels({ arenaBytes: 1000 }),
    'RangeError',
    /"arenaBytes" expected at least 32768, got 1000/,
  );
  const options = { backend: 'gpu' } as unknown as Parameters<typeof loadKernels>[0];
  await rejects(loadKernels(options), 'TypeError', /"backend" expected "simd" or "reference", got "gpu"/);
});

test('loadKernels: a host without SIMD', async () => {
  const { validate } = WebAssembly;
  try {
    WebAssembly.validate = () => false;
    await rejects(loadKernels(), 'no-simd', /no WebAssembly SIMD/);
    assert.is(hex((await loadKernels({ backend: 'reference' })).packSign(weights)), '0d');
    const module = new WebAssembly.Module(kernelBytes()); // made elsewhere: nobody validates
    assert.is((await loadKernels({ module })).backend, 'simd');
  } finally {
    WebAssembly.validate = validate;
  }
});

test('loadKernels: a host without WebAssembly', async () => {
  const saved = globalThis.WebAssembly;
  try {
    Reflect.deleteProperty(globalThis, 'WebAssembly');
    await rejects(loadKernels(), 'no-simd', /no WebAssembly SIMD/);
    assert.is(hex((await loadKernels({ backend: 'reference' })).packSign(weights)), '0d');
  } finally {
    globalThis.WebAssembly = saved;
  }
});

test('the memory of an instance does not grow with the tensor', async () => {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(kernelBytes()));
  const memory = exports.memory as WebAssembly.Memory;
  const kernels = await loadKernels({ module: exports });
  const bytes = memory.buffer.byteLength;
  assert.ok(bytes <= 8 << 20);
  for (const rows of [1, 60_000]) {
    const big = makeWeights(rows * 128, rows, 'plain');
    for (const layout of [columns(rows, 128), columns(rows, 128, 32), tensor(big.length)]) {
      const { codes, absMax } = kernels.packInt4WithAbsMax(big, layout);
      const decoded = kernels.unpackInt4(codes, absMax, layout);
      const { codes: signs } = kernels.packSignWithAbsSum(big, layout);
      kernels.unpackSign(signs, absMax, layout);
      kernels.projectInt4(big, absMax, layout);
      kernels.unpackInt2(kernels.packInt2(big, absMax, layout), absMax, layout);
      kernels.projectInt2(big, absMax, layout);
      kernels.difference(big, decoded);
    }
  }
  assert.is(memory.buffer.byteLength, bytes);
});

test('lent memory is the same piece each time, as large as the largest; ordinary memory where there is no more', async () => {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(kernelBytes()));
  const memory = exports.memory as WebAssembly.Memory;
  const kernels = await loadKernels({ module: exports });
  const bytes = memory.buffer.byteLength;
  const first = kernels.lend(2 ** 20, 2 ** 19);
  assert.is(first.weights.buffer, memory.buffer);
  assert.is(first.codes.buffer, memory.buffer);
  const grown = memory.buffer.byteLength;
  assert.ok(grown >= bytes + 4.5 * 2 ** 20 - 2 ** 16 && grown <= bytes + 5 * 2 ** 20);
  const { weights: again } = kernels.lend(100, 0);
  assert.is(again.byteOffset, first.weights.byteOffset);
  assert.is(memory.buffer.byteLength, grown);
  const refused = (count: number) => {
    throw new RangeError(`no ${count} pages`);
  };
  const full = { ...exports, memory: { buffer: new ArrayBuffer(8 << 20), grow: refused } };
  const elsewhere = (await loadKernels({ module: full, arenaBytes: SMALL_ARENA })).lend(2 ** 22, 5);
  assert.equal([elsewhere.weights.byteLength, elsewhere.codes.byteLength], [2 ** 24, 5]);
  assert.is.not(elsewhere.weights.buffer, full.memory.buffer);
});

test('an exception within a kernel call gives the arena back', async () => {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(kernelBytes()));
  let broken = false;
  const packSign = (...args: number[]) => {
    if (broken) throw new Error('broken');
    (exports.packSign as (...a: number[]) => void)(...args);
  };
  const kernels = await loadKernels({ module: { ...exports, packSign }, arenaBytes: SMALL_ARENA });
  broken = true;
  for (let i = 0; i < 100; i++) assert.throws(() => kernels.packSign(weights), /broken/);
  broken = false;
  assert.is(hex(kernels.packSign(weights)), '0d');
});

for (const [name, k] of backends) {
  test(`wrong arguments (${name})`, () => {
    const f = (n: number) => new Float32Array(n);
    const u = (n: number) => new Uint8Array(n);
    const any = (value: unknown) => value as never;
    const table: [call: () => unknown, kind: typeof Error, text: string][] = [
      [() => k.packSign(any([1])), TypeError, '"weights" expected a Float32Array, got "Array"'],
      [() => k.packSignInto(f(9), u(1)), RangeError, '"out" expected at least 2 bytes, got 1'],
      [() => k.packSignInto(f(9), any(f(2))), TypeError, '"out" expected a Uint8Array, got "Float32Array"'],
      [() => k.absMax(f(5), tensor(4)), RangeError, '"weights" expected 4 floats, got 5'],
      [() => k.absMax(f(5), any(undefined)), TypeError, '"layout" expected a BlockLayout, got "Undefined"'],
      [
        () => k.absSum(f(4), { ...tensor(4), groupRows: 0 }),
        RangeError,
        '"layout.groupRows" expected an integer of at least 1, got 0',
      ],
      [
        () => k.absSum(f(4), { ...tensor(4), outer: 1.5 }),
        RangeError,
        '"layout.outer" expected an integer of at least 0, got 1.5',
      ],
      [() => k.packInt4(f(4), f(2), tensor(4)), RangeError, '"inverses" expected 1 floats, got 2'],
      [
        () => k.packInt4Into(f(4), f(1), tensor(4), u(1)),
        RangeError,
        '"out" expected at least 2 bytes, got 1',
      ],
      [() => k.unpackInt4(u(3), f(1), tensor(24)), RangeError, '"codes" expected 12 bytes, got 3'],
      [() => k.unpackInt4(u(2), f(2), tensor(4)), RangeError, '"scales" expected 1 floats, got 2'],
      [
        () => k.unpackSign(any('x'), f(1), tensor(4)),
        TypeError,
        '"codes" expected a Uint8Array, got "String"',
      ],
      [
        () => k.unpackSignInto(u(1), f(1), tensor(4), f(3)),
        RangeError,
        '"out" expected at least 4 floats, got 3',
      ],
      [() => k.projectInt4(f(4), f(0), tensor(4)), RangeError, '"inverses" expected 1 floats, got 0'],
      [() => k.packInt2(f(4), f(2), tensor(4)), RangeError, '"inverses" expected 1 floats, got 2'],
      [
        () => k.packInt2Into(f(5), f(1), tensor(5), u(1)),
        RangeError,
        '"out" expected at least 2 bytes, got 1',
      ],
      [() => k.unpackInt2(u(3), f(1), tensor(24)), RangeError, '"codes" expected 6 bytes, got 3'],
      [
        () => k.unpackInt2Into(u(1), f(1), tensor(4), f(3)),
        RangeError,
        '"out" expected at least 4 floats, got 3',
      ],
      [() => k.projectInt2(f(4), f(0), tensor(4)), RangeError, '"inverses" expected 1 floats, got 0'],
      [() => k.absMax(f(4), tensor(4), f(2)), RangeError, '"max" expected 1 floats, got 2'],
      [() => k.differenceInt4(f(4), u(2), f(2), tensor(4)), RangeError, '"scales" expected 1 floats, got 2'],
      [() => k.differenceInt2(f(4), u(2), f(1), tensor(4)), RangeError, '"codes" expected 1 bytes, got 2'],
      [() => k.differenceSign(f(5), u(1), f(1), tensor(4)), RangeError, '"weights" expected 4 floats, got 5'],
      [() => k.difference(f(4), f(3)), RangeError, '"decoded" expected 4 floats, got 3'],
    ];
    for (const [call, kind, text] of table) {
      assert.throws(call, (error: unknown) => {
        assert.instance(error, kind);
        assert.is((error as Error).message, text);
        return true;
      });
    }
  });
}

test.run();
