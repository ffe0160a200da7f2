import { readFileSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Val } from '../../src/export/values.js';
import { encodeModel } from '../../src/onnx/container.js';
import { Message, varint } from '../../src/onnx/protobuf.js';
import type { Graph, Initializer, Model, Node } from '../../src/onnx/types.js';
import { root } from '../support/needs.js';

/** What the library of ONNX makes of the same models: `make_golden.py`. */
const golden = (name: string) => readFileSync(path.join(root, 'test/fixtures/onnx', name));
const bytesOf = (message: Message) => Buffer.concat([...message.pieces()]);

const producer = { name: 'bitnibble', version: '1.2.3' };
const x: Val = { name: 'x', type: 'float', shape: ['batch', 3, null, 2] };
const y: Val = { name: 'y', type: 'int32', shape: [] };
const graph = (own: Partial<Graph> & { name: string }): Graph => ({
  ...{ nodes: [], initializers: [], inputs: [], outputs: [], values: [] },
  ...own,
});
const node = (own: Partial<Node> & { op: string }): Node => ({
  ...{ name: '', domain: '', inputs: [], outputs: [], attributes: {} },
  ...own,
});

test('attributes, types, shapes, bodies and names as the library of ONNX writes them', () => {
  const side = (name: string): Val => ({ name, type: 'float', shape: ['batch', 2] });
  const body = graph({
    name: 'step',
    nodes: [node({ op: 'Add', name: 'step/Add', inputs: ['a', 'w'], outputs: ['b'] })],
    inputs: [side('a')],
    outputs: [side('b')],
  });
  const odd = node({
    ...{ op: 'Odd', name: 'layer/Odd', domain: 'com.example', inputs: ['x', '', 'w'], outputs: ['y', 'y:1'] },
    attributes: {
      whole: -3,
      far: Number.MAX_SAFE_INTEGER,
      half: { float: 0.5 },
      absent: undefined,
      mode: 'größer',
      none: '',
      axes: [0, -1, 300],
      numbers: { floats: [1, -0.25] },
      names: { texts: ['Tanh', ''] },
      body: { graph: body },
    },
  });
  const initializers: Initializer[] = [
    { name: 'w', type: 'float', shape: [2], data: new Uint8Array(Float32Array.of(1, -2).buffer) },
    // -1, -7, 7
    { name: 'w4', type: 'int4', shape: [3], data: Uint8Array.of(0x9f, 0x07) },
    {
      name: 'w2',
      type: 'int2',
      shape: [2, 3],
      data: { length: 2, bytes: () => Uint8Array.of(0b11100100, 0b1001) },
    },
    { name: 'one', type: 'int64', shape: [], data: new Uint8Array(8).fill(255) },
    { name: 'empty', type: 'float', shape: [0], data: new Uint8Array(0) },
  ];
  const values: Val[] = [{ name: 'y:1', type: 'bool', shape: ['batch'] }];
  const model: Model = {
    graph: graph({ name: 'everything', nodes: [odd], initializers, inputs: [x], outputs: [y], values }),
    ...{ irVersion: 13, opsets: { '': 25, 'com.example': 1 }, producer },
    metadata: { 'bitnibble.source': 'model.h5' },
  };
  assert.equal(bytesOf(encodeModel(model).model()), golden('everything.onnx'));
});

test('a small model, and one with long messages', () => {
  const relu = node({ op: 'Relu', inputs: ['x'], outputs: ['y'] });
  const small: Model = {
    graph: graph({ name: 'g', nodes: [relu], inputs: [x], outputs: [{ ...y, type: 'float' }] }),
    ...{ irVersion: 10, opsets: { '': 21 }, producer, metadata: {} },
  };
  assert.equal(bytesOf(encodeModel(small).model()), golden('small.onnx'));
  const data = Uint8Array.from({ length: 200 }, (_, i) => i);
  const initializers = Array.from(
    { length: 100 },
    (_, i): Initializer => ({ name: `w${i}`, type: 'uint8', shape: [200], data }),
  );
  const identity = node({ op: 'Identity', name: 'n'.repeat(300), inputs: ['w99'], outputs: ['y'] });
  const long: Model = {
    graph: graph({ name: 'long', nodes: [identity], initializers, outputs: [y] }),
    ...{ irVersion: 10, opsets: { '': 21 }, producer, metadata: { k: 'v'.repeat(20_000) } },
  };
  const encoded = encodeModel(long);
  assert.equal(bytesOf(encoded.model()), golden('long.onnx'));
  assert.is(encoded.bytes, golden('long.onnx').length);
});

test('data beyond the limit stands in a second file at whole pages, the rest of the model says where', () => {
  const long = (name: string, n: number): Initializer => ({
    ...{ name, type: 'uint8', shape: [n], data: new Uint8Array(n).fill(n & 255) },
  });
  const model: Model = {
    graph: graph({ name: 'g', initializers: [long('a', 5000), long('short', 10), long('b', 3000)] }),
    ...{ irVersion: 10, opsets: { '': 21 }, producer, metadata: {} },
  };
  const { model: message, data } = encodeModel(model, 4000);
  const bytes = bytesOf(message('beside.data'));
  const beside = Buffer.concat([...(data ?? [])]);
  assert.is(beside.length, 8192 + 3000);
  assert.is(beside[4999], 5000 & 255);
  assert.is(beside[5000], 0);
  assert.is(beside[8192], 3000 & 255);
  assert.ok(bytes.length < 4000);
  for (const text of ['beside.data', '8192', '3000']) assert.ok(bytes.includes(text), text);
});

test('varints are read as what they were', () => {
  const read = (bytes: Uint8Array) =>
    BigInt.asIntN(
      64,
      bytes.reduceRight((value, byte) => (value << 7n) | BigInt(byte & 127), 0n),
    );
  fc.assert(
    fc.property(fc.maxSafeInteger(), (value) => {
      const bytes = varint(value);
      assert.is(read(bytes), BigInt(value));
      assert.is(
        bytes.findIndex((byte) => byte < 128),
        bytes.length - 1,
      );
      assert.ok(bytes.length <= 10);
    }),
  );
  assert.throws(() => varint(2 ** 53), /"value" expected a whole number/);
});

test('lazy bytes of another length than was said are refused', () => {
  const message = new Message().bytes(1, { length: 3, bytes: () => new Uint8Array(4) });
  assert.throws(() => [...message.pieces()], /"bytes" expected 3 bytes, got 4/);
});

test.run();
