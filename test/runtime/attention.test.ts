// Attention where a mask leaves a query no key: what each way of Keras makes of such a row.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { JsonObject, ModelSource } from '../../src/model.js';
import { loadNetwork } from '../../src/runtime/index.js';

const IDENTITY = Float32Array.of(1, 0, 0, 1);
/** Token 0 is masked. */
const EMBEDDINGS = Float32Array.of(0.3, 0.9, 1, -0.5, 0.5, 0.4);

const WEIGHTS = [
  ['embedding', 'Embedding', 'embeddings', [3, 2], EMBEDDINGS],
  ['attention', 'MultiHeadAttention', 'query/kernel', [2, 1, 2], IDENTITY],
  ['attention', 'MultiHeadAttention', 'key/kernel', [2, 1, 2], IDENTITY],
  ['attention', 'MultiHeadAttention', 'value/kernel', [2, 1, 2], IDENTITY],
  ['attention', 'MultiHeadAttention', 'attention_output/kernel', [1, 2, 2], IDENTITY],
] as const;

/** Tokens, embedded and attending to themselves; every projection is the identity. */
function attending(kerasVersion: string, more: JsonObject, call: JsonObject = {}): ModelSource {
  const own = { name: 'attention', num_heads: 1, key_dim: 2, value_dim: 2, use_bias: false, ...more };
  const isKeras3 = kerasVersion.startsWith('3.');
  const tensor = (from: string) => ({
    class_name: '__keras_tensor__',
    config: { keras_history: [from, 0, 0] },
  });
  const layer = (class_name: string, settings: JsonObject, inbound_nodes: unknown[]) => ({
    ...{ class_name, name: settings.name, config: { ...settings, trainable: true }, inbound_nodes },
  });
  const shape = { [isKeras3 ? 'batch_shape' : 'batch_input_shape']: [null, 3] };
  const layers = [
    layer('InputLayer', { name: 'tokens', ...shape, dtype: 'int32' }, []),
    layer('Embedding', { name: 'embedding', input_dim: 3, output_dim: 2, mask_zero: true }, [
      isKeras3 ? { args: [tensor('tokens')], kwargs: {} } : [['tokens', 0, 0, {}]],
    ]),
    layer('MultiHeadAttention', own, [
      isKeras3
        ? { args: [tensor('embedding'), tensor('embedding')], kwargs: call }
        : [['embedding', 0, 0, { ...call, value: ['embedding', 0, 0] }]],
    ]),
  ];
  const config = {
    ...{ name: 'attending', layers, input_layers: [['tokens', 0, 0]] },
    output_layers: [['attention', 0, 0]],
  };
  return {
    ...{ file: 'attending.h5', kerasVersion, backend: 'tensorflow' },
    architecture: { class_name: 'Functional', config } as unknown as JsonObject,
    weights: WEIGHTS.map(([layer, className, name, shape]) => ({
      ...{ id: `${layer}/${name}`, layer, className, name, shape: [...shape], dtype: 'F32' },
    })),
    read: (id) => (WEIGHTS.find(([layer, , name]) => id === `${layer}/${name}`)?.[4] ?? IDENTITY).slice(),
  };
}

/** What each query is given, and what it is given by softmax over the keys of other tokens than 0. */
async function rowsOf(model: ModelSource, tokens: readonly number[]) {
  const network = await loadNetwork(model, { weights: 'decoded' });
  const result = network.run(Float32Array.from(tokens));
  const y = result instanceof Float32Array ? result : (Object.values(result)[0] as Float32Array);
  const rows = tokens.map((_, i) => [...y.subarray(2 * i, 2 * i + 2)]);
  network.dispose();
  const vectors = tokens.map((token) => EMBEDDINGS.subarray(2 * token, 2 * token + 2));
  const seen = vectors.map(([p, q]) => {
    const shares = vectors.map(([r, s], i) =>
      tokens[i] === 0
        ? 0
        : Math.exp(((p as number) * (r as number) + (q as number) * (s as number)) / Math.SQRT2),
    );
    const sum = shares.reduce((a, b) => a + b, 0);
    return [0, 1].map((k) =>
      vectors.reduce((a, v, i) => a + ((shares[i] as number) * (v[k] as number)) / sum, 0),
    );
  });
  const mean = [0, 1].map((k) => vectors.reduce((a, v) => a + (v[k] as number) / vectors.length, 0));
  return { rows, seen, mean };
}

const near = (row: readonly number[] | undefined, expected: readonly number[] | undefined) => {
  assert.is(row?.length, 2);
  row?.forEach((value, k) => {
    assert.ok(Math.abs(value - (expected?.[k] as number)) < 1e-4, `[${row}], expected [${expected}]`);
  });
};

const EVERY = [
  [1, 2, 0],
  [0, 2, 1],
  [0, 0, 2],
  [0, 0, 0],
];

test('a masked query has the mean of all values by the fused product of Keras 3, and in Keras 2', async () => {
  for (const [version, more] of [
    ['3.15.1', {}],
    ['3.15.1', { dropout: 0 }],
    ['2.15.0', {}],
    ['2.15.0', { dropout: 0.5 }],
  ] as const)
    for (const tokens of EVERY) {
      const { rows, seen, mean } = await rowsOf(attending(version, more), tokens);
      tokens.forEach((token, i) => {
        near(rows[i], token === 0 ? mean : seen[i]);
      });
    }
});

test('a masked query has zeros where Keras 3 does without its fused product', async () => {
  for (const [more, call] of [
    [{ dropout: 0.5 }, {}],
    [{}, { return_attention_scores: true }],
  ] as const)
    for (const tokens of EVERY) {
      const { rows, seen } = await rowsOf(attending('3.15.1', more, call), tokens);
      tokens.forEach((token, i) => {
        near(rows[i], token === 0 ? [0, 0] : seen[i]);
      });
    }
});

test.run();
