import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { bytesOf, toFloat32 } from '../../src/formats/dtypes.js';
import { DTYPE_BYTES, type Dtype } from '../../src/model.js';
import { concat, embedded, hex } from './damage.js';

const CASES: Readonly<Record<Dtype, readonly [bytes: string, values: readonly number[]]>> = {
  BOOL: ['00 01', [0, 1]],
  U8: ['00 7f ff', [0, 127, 255]],
  I8: ['00 7f 80 ff', [0, 127, -128, -1]],
  U16: ['0100 ffff', [1, 65535]],
  I16: ['0100 ffff 0080', [1, -1, -32768]],
  F16: ['003c 00c0 0100 ff7b 007c 0080', [1, -2, 2 ** -24, 65504, Number.POSITIVE_INFINITY, -0]],
  BF16: ['803f 00c0 80ff', [1, -2, Number.NEGATIVE_INFINITY]],
  U32: ['01000000 ffffffff', [1, 2 ** 32]],
  I32: ['01000001 01000081 ffffffff', [2 ** 24, -(127 * 2 ** 24), -1]],
  F32: ['0000803f 00000080 01000000', [1, -0, 2 ** -149]],
  U64: ['0100000000000000 ffffffffffffffff', [1, 2 ** 64]],
  I64: ['ffffffffffffffff 0000000000000080', [-1, -(2 ** 63)]],
  F64: ['9a9999999999b93f 000000000000f07f 0000000000000047', [Math.fround(0.1), Infinity, 2 ** 113]],
};

for (const [name, [bytes, values]] of Object.entries(CASES)) {
  const dtype = name as Dtype;
  test(`${dtype}: ${bytes}`, () => {
    assert.equal([...toFloat32(hex(bytes), dtype)], [...values]);
    assert.equal([...toFloat32(embedded(hex(bytes)), dtype)], [...values], 'at an odd address');
    const buffer = Buffer.from(concat([9], hex(bytes)));
    assert.equal([...toFloat32(buffer.subarray(1), dtype)], [...values], 'in a Buffer at an odd address');
  });

  test(`${dtype}: nothing gives nothing, part of an element is refused`, () => {
    assert.is(toFloat32(new Uint8Array(), dtype).length, 0);
    if (DTYPE_BYTES[dtype] > 1) {
      assert.throws(() => toFloat32(hex(`${bytes} 00`), dtype), /"bytes" expected a multiple of [248] for/);
    }
  });
}

test('float32 at a multiple of 4 is a view, everything else is new memory', () => {
  const memory = new Uint8Array(new Float32Array([1, 2, 3]).buffer);
  const view = toFloat32(memory.subarray(4), 'F32');
  assert.is(view.buffer, memory.buffer);
  assert.equal([...view], [2, 3]);
  assert.is.not(toFloat32(embedded(memory), 'F32').buffer, memory.buffer);
  assert.is.not(toFloat32(memory, 'I32').buffer, memory.buffer);
});

test('bytesOf is a view of just the array, not of its buffer', () => {
  const array = Uint16Array.of(1, 2, 3).subarray(1, 2);
  const bytes = bytesOf(array);
  assert.equal([...bytes], [2, 0]);
  bytes[1] = 1;
  assert.is(array[0], 258);
});

test.run();
