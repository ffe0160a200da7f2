import { readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { DType, NdArray } from '../../src/formats/ndarray.js';
import { readNpy, writeNpy } from '../../src/formats/npy.js';
import { openNpz } from '../../src/formats/npz.js';
import { readZipDirectory, readZipEntry } from '../../src/formats/zip.js';
import { need, runPython, tempDir } from '../support/needs.js';
import { throws } from '../support/throws.js';
import { refusesTruncations, survivesBitFlips, throwsCode } from './damage.js';

const fixture = (name: string) =>
  new Uint8Array(readFileSync(new URL(`../fixtures/npz/${name}`, import.meta.url)));

const archive = fixture('arrays.npz');
const arrays = openNpz(archive, { name: 'arrays.npz' });

/** The `.npy` bytes of a member, as NumPy wrote them. */
function member(name: string): Uint8Array {
  const entry = readZipDirectory(archive).find((one) => one.name === `${name}.npy`);
  return readZipEntry(archive, entry!);
}

const I64 = 2n ** 63n;
const SUBNORMAL = { f2: 2 ** -24, f4: 2 ** -149, f8: 2 ** -1074 };
const MAX = { f2: 65504, f4: 2 ** 128 - 2 ** 104, f8: Number.MAX_VALUE };

const INTEGERS: Record<string, [DType, (number | bigint)[]]> = {
  i1: ['int8', [0, 1, -128, 127]],
  i2: ['int16', [0, 1, -32768, 32767]],
  i4: ['int32', [0, 1, -(2 ** 31), 2 ** 31 - 1]],
  i8: ['int64', [0n, 1n, -I64, I64 - 1n]],
  u1: ['uint8', [0, 1, 0, 255]],
  u2: ['uint16', [0, 1, 0, 65535]],
  u4: ['uint32', [0, 1, 0, 2 ** 32 - 1]],
  u8: ['uint64', [0n, 1n, 0n, 2n * I64 - 1n]],
};
const FLOATS: Record<'f2' | 'f4' | 'f8', DType> = { f2: 'float16', f4: 'float32', f8: 'float64' };

for (const prefix of ['', 'big_']) {
  for (const [code, [dtype, values]] of Object.entries(INTEGERS)) {
    if (prefix === '' || !code.endsWith('1')) {
      test(`reads NumPy's ${prefix}${code}`, () => {
        const array = arrays.read(prefix + code);
        assert.is(array.dtype, dtype);
        assert.equal(array.shape, [4]);
        assert.equal(Array.from<number | bigint>(array.data), values);
      });
    }
  }
  for (const [code, dtype] of Object.entries(FLOATS) as ['f2' | 'f4' | 'f8', DType][]) {
    test(`reads NumPy's ${prefix}${code}`, () => {
      const { data, ...array } = arrays.read(prefix + code);
      assert.equal(array, { dtype, shape: [8] });
      const { POSITIVE_INFINITY, NEGATIVE_INFINITY, NaN: nan } = Number;
      const values = [0, -0, 1.5, MAX[code], SUBNORMAL[code], POSITIVE_INFINITY, NEGATIVE_INFINITY, nan];
      assert.is(data.length, 8);
      values.forEach((value, i) => {
        assert.ok(Object.is(data[i], value), `element ${i}: ${data[i]}`);
      });
    });
  }
}

test('reads Fortran order as C order, scalars and empty arrays', () => {
  assert.equal(arrays.read('fortran'), {
    dtype: 'int16',
    shape: [2, 3, 4],
    data: Int16Array.from({ length: 24 }, (_, i) => i),
  });
  assert.equal(arrays.read('big_fortran'), {
    dtype: 'float32',
    shape: [2, 3],
    data: Float32Array.of(0, 1, 2, 3, 4, 5),
  });
  assert.equal(arrays.read('fortran_f2'), {
    dtype: 'float16',
    shape: [3, 2],
    data: Float32Array.of(0, 1, 2, 3, 4, 5),
  });
  assert.equal(arrays.read('bool'), { dtype: 'bool', shape: [2, 2], data: Uint8Array.of(1, 0, 0, 1) });
  assert.equal(arrays.read('scalar'), { dtype: 'float32', shape: [], data: Float32Array.of(2.5) });
  assert.equal(arrays.read('empty'), { dtype: 'float32', shape: [0, 3], data: new Float32Array(0) });
});

test('reads versions 1, 2 and 3', () => {
  for (const version of [1, 2, 3]) {
    const file = fixture(`version${version}.npy`);
    assert.is(file[6], version);
    assert.equal(readNpy(file), { dtype: 'int32', shape: [1, 3], data: Int32Array.of(1, 2, 3) });
    refusesTruncations(file, readNpy);
    throwsCode(
      () => readNpy(Uint8Array.from([...file, 0]), { name: 'v.npy' }),
      'corrupt-file',
      'v.npy',
      '[1,3]',
    );
  }
  const later = fixture('version3.npy');
  later[6] = 4;
  throwsCode(() => readNpy(later), 'unsupported-version', '4.0');
});

test('writes the very bytes that NumPy writes', () => {
  const names = arrays.names.filter((name) => !/^big_|fortran/.test(name));
  assert.is(names.length, 14);
  for (const name of names) {
    assert.equal(writeNpy(arrays.read(name)), member(name), name);
  }
});

test('pickles are refused, and told why', () => {
  const objects = openNpz(fixture('objects.npz'), { name: 'objects.npz' });
  throwsCode(
    () => objects.read('x'),
    'unsupported-dtype',
    'objects.npz: x.npy',
    'pickle',
    'allow_pickle=False',
  );
  assert.equal(Array.from(objects.read('y').data, Number), [0, 1]);
});

test('types without numbers for weights or images are refused by name', () => {
  throwsCode(() => readNpy(fixture('record.npy'), { name: 'r' }), 'unsupported-dtype', 'r:', 'records');
  throwsCode(() => readNpy(fixture('text.npy')), 'unsupported-dtype', '<U3');
  throwsCode(() => readNpy(fixture('complex.npy')), 'unsupported-dtype', '<c16');
  throwsCode(() => readNpy(fixture('date.npy')), 'unsupported-dtype', '<M8[D]');
  throwsCode(() => readNpy(new Uint8Array(200)), 'not-npy');
});

/** A version 1 file with any header text and body. */
function withHeader(text: string, body: number[] = []): Uint8Array {
  const head = Array.from(text, (char) => char.charCodeAt(0));
  return Uint8Array.from([
    0x93,
    0x4e,
    0x55,
    0x4d,
    0x50,
    0x59,
    1,
    0,
    head.length & 255,
    head.length >>> 8,
    ...head,
    ...body,
  ]);
}

test('headers: what NumPy could have written in another mood is taken', () => {
  const good = [
    "{'descr':'|u1','fortran_order':False,'shape':(2,)}",
    "{'shape': (2,), 'fortran_order': True, 'descr': '<u1', }\n",
    '{"descr": "|u1", "fortran_order": False, "shape": (1, 2,)}  \n',
    "{'descr': '|u1', 'fortran_order': False, 'shape': (2L,), }",
  ];
  for (const text of good) {
    assert.equal(Array.from(readNpy(withHeader(text, [7, 8])).data, Number), [7, 8], text);
  }
});

test('64 dimensions are the most that NumPy has', () => {
  const ones = (rank: number) => `{'descr': '|u1', 'fortran_order': True, 'shape': (${'1, '.repeat(rank)})}`;
  assert.is(readNpy(withHeader(ones(64), [7])).shape.length, 64);
  throwsCode(() => readNpy(withHeader(ones(65), [7]), { name: 'h.npy' }), 'corrupt-file', 'h.npy', '65 dim');
  throwsCode(() => readNpy(withHeader(ones(3000), [7])), 'corrupt-file', '3000 dimensions');
});

test('headers: everything else is refused', () => {
  const rest = "'fortran_order': False, 'shape': (2,)";
  const bad = [
    '',
    '{}',
    `{'descr': '|u1', ${rest}`,
    `{'descr': '|u1', ${rest}} + 1`,
    `{'descr': '|u1', 'descr': '|u1', ${rest}}`,
    `{'descr': '|u1', 'more': 1, ${rest}}`,
    `{'descr': '|u1' ${rest}}`,
    `{'descr': '|u1',, ${rest}}`,
    `{'descr': __import__('os').name, ${rest}}`,
    `{'descr': '|u\\x31', ${rest}}`,
    "{'descr': '|u1', 'fortran_order': 0, 'shape': (2,)}",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (2)}",
    "{'descr': '|u1', 'fortran_order': False, 'shape': 2}",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (-2,)}",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (2.0,)}",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (1 2,)}",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (,)}",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (9007199254740993,)}",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (0, 94906267, 94906267,)}",
    "{'descr': '|u1', 'fortran_order': False}",
  ];
  for (const text of bad) {
    throwsCode(() => readNpy(withHeader(text, [7, 8]), { name: 'h.npy' }), 'corrupt-file', 'h.npy');
  }
  for (const descr of ['|u2', '=u2', 'u1', '', '<V8', '<M8[s]', '<f16', '|S1']) {
    throwsCode(() => readNpy(withHeader(`{'descr': '${descr}', ${rest}}`)), 'unsupported-dtype');
  }
  throwsCode(
    () => readNpy(withHeader(`{'descr': '|u1', ${rest}}${' '.repeat(10_000)}`, [1, 2])),
    'corrupt-file',
    'header of',
  );
  throwsCode(() => readNpy(withHeader(`{'descr': '|b1', ${rest}}`, [1, 2])), 'corrupt-file', 'bool');
});

test('any array comes back', () => {
  const shapes = fc.array(fc.integer({ min: 0, max: 6 }), { maxLength: 4 });
  const makers = [
    Int8Array,
    Uint8Array,
    Int16Array,
    Uint16Array,
    Int32Array,
    Uint32Array,
    Float32Array,
    Float64Array,
  ];
  fc.assert(
    fc.property(shapes, fc.constantFrom(...makers), fc.integer(), (shape, Maker, seed) => {
      const length = shape.reduce((n, d) => n * d, 1);
      const data = new Maker(Array.from({ length }, (_, i) => Math.imul(seed + i, 2654435761) / 3));
      const back = readNpy(writeNpy({ shape, data }));
      assert.equal(back.shape, shape);
      assert.equal(back.data, data);
      assert.is(back.data.constructor, Maker);
    }),
    { seed: 7, numRuns: 300 },
  );
});

test('writeNpy refuses what does not fit', () => {
  const data = Float32Array.of(1, 2);
  assert.throws(
    () => writeNpy({ shape: [3], data }),
    /"data" expected as many elements as the shape \[3\] has, got 2/,
  );
  throws(() => writeNpy({ shape: [-2], data }), RangeError);
  throws(() => writeNpy({ shape: [2], data, dtype: 'float64' }), TypeError);
  throws(() => writeNpy({ shape: [2], data: Uint8Array.of(1, 2), dtype: 'bool' }), RangeError);
});

test('bit flips are refused or give a whole array', () => {
  const isWhole = ({ shape, data }: NdArray) => shape.reduce((n, d) => n * d, 1) === data.length;
  for (const name of ['fortran', 'big_f2', 'bool']) {
    const refused = survivesBitFlips(member(name), 4000, readNpy, isWhole);
    assert.ok(refused > 500, `${name}: ${refused}`);
  }
});

const numpy = need(test, 'python');
numpy('NumPy reads what writeNpy wrote', async () => {
  const { writeFileSync } = await import('node:fs');
  const file = `${tempDir()}/a.npy`;
  writeFileSync(file, writeNpy({ shape: [2, 2], data: Float32Array.of(1, -0.5, 1e-7, 3), dtype: 'float16' }));
  const printed = await runPython(
    'import sys, numpy as np; a = np.load(sys.argv[1]); print(a.dtype, a.shape, a.tolist())',
    [file],
  );
  assert.is(printed.trim(), 'float16 (2, 2) [[1.0, -0.5], [1.1920928955078125e-07, 3.0]]');
});

test.run();
