// What each weight is to the quantizer, against the kernel shapes that Keras documents.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { roleOf } from '../../src/keras/axes.js';
import type { Dtype, WeightInfo } from '../../src/model.js';

function weight(className: string, name: string, rank: number, more: Partial<WeightInfo> = {}): WeightInfo {
  const shape = Array.from({ length: rank }, (_, i) => i + 2);
  return { id: `layer/${name}`, layer: 'layer', className, name, shape, dtype: 'F32', ...more };
}

/** Axes of the kernel of a class that the table knows; fails on a guess and on what is no kernel. */
function axesOf(
  className: string,
  name: string,
  rank: number,
  more?: Partial<WeightInfo>,
): readonly number[] {
  const role = roleOf(weight(className, name, rank, more));
  assert.is(role.kind, 'kernel', `${className} ${name}`);
  if (role.kind !== 'kernel') return [];
  assert.is(role.guess, false, `${className} ${name} is a guess`);
  return role.axes;
}

const guess = (className: string, name: string, rank = 3, more?: Partial<WeightInfo>) => {
  const role = roleOf(weight(className, name, rank, more));
  assert.equal(role, { kind: 'kernel', axes: [rank - 1], guess: true }, `${className} ${name}`);
};

const reasonOf = (className: string, name: string, rank: number, dtype: Dtype = 'F32') => {
  const role = roleOf(weight(className, name, rank, { dtype }));
  return role.kind === 'other' ? role.reason : 'kernel';
};

type Row = readonly [classes: string, names: string, rank: number, axes: readonly number[]];

/** Shapes: Keras 3 and Keras 1, documentation of each layer; axes chosen so that "the last" would be wrong where it can. */
const DOCUMENTED: readonly Row[] = [
  ['Conv1D', 'kernel', 3, [2]],
  ['Conv2D', 'kernel', 4, [3]],
  ['Conv3D', 'kernel', 5, [4]],
  ['LocallyConnected1D LocallyConnected2D', 'kernel W', 3, [2]],
  ['Conv1DTranspose', 'kernel', 3, [1]],
  ['Conv2DTranspose', 'kernel', 4, [2]],
  ['Conv3DTranspose', 'kernel', 5, [3]],
  ['DepthwiseConv1D', 'kernel depthwise_kernel', 3, [1, 2]],
  ['DepthwiseConv2D', 'kernel depthwise_kernel', 4, [2, 3]],
  ['SeparableConv1D SeparableConvolution1D', 'depthwise_kernel', 3, [1, 2]],
  ['SeparableConv2D SeparableConvolution2D', 'depthwise_kernel', 4, [2, 3]],
  [
    'SeparableConv1D SeparableConv2D SeparableConvolution1D SeparableConvolution2D',
    'pointwise_kernel',
    4,
    [3],
  ],
  ['Dense TimeDistributedDense', 'kernel W', 2, [1]],
  ['Embedding ReversibleEmbedding', 'embeddings W', 2, [0]],
  ['ReversibleEmbedding', 'reverse_embeddings', 2, [1]],
  [
    'LSTM GRU SimpleRNN CuDNNLSTM CuDNNGRU RNN StackedRNNCells LSTMCell GRUCell SimpleRNNCell',
    'kernel recurrent_kernel',
    2,
    [1],
  ],
  ['ConvLSTM1D ConvLSTM2D ConvLSTM3D ConvLSTMCell', 'kernel recurrent_kernel', 4, [3]],
  ['LSTM GRU SimpleRNN ConvLSTM2D', 'W U W_i U_i W_f U_o lstm_1_W_c', 2, [1]],
  ['Conv1D Conv2D Conv3D Convolution1D Convolution2D Convolution3D', 'W', 4, [3]],
  ['AtrousConvolution1D AtrousConvolution2D AtrousConv2D Deconvolution2D Deconvolution3D', 'W', 4, [3]],
];

for (const [classes, names, rank, axes] of DOCUMENTED)
  test(`${classes}: ${names} along [${axes}]`, () => {
    for (const className of classes.split(' '))
      for (const name of names.split(' '))
        assert.equal(axesOf(className, name, rank), axes, `${className} ${name}`);
  });

test('Keras 1 with "th" has its channels first', () => {
  const config = { dim_ordering: 'th' };
  assert.equal(axesOf('Convolution2D', 'W', 4, { config }), [0]);
  assert.equal(axesOf('SeparableConvolution2D', 'pointwise_kernel', 4, { config }), [0]);
  assert.equal(axesOf('SeparableConvolution2D', 'depthwise_kernel', 4, { config }), [0, 1]);
  assert.equal(axesOf('Convolution2D', 'W', 4, { config: { dim_ordering: 'tf' } }), [3]);
  assert.equal(axesOf('Dense', 'W', 2, { config }), [1]);
});

test('attention: heads and features of query, key and value; the last of the output', () => {
  for (const className of ['MultiHeadAttention', 'GroupQueryAttention', 'GroupedQueryAttention']) {
    for (const part of ['query', 'key', 'value'])
      for (const id of [`mha/${part}/kernel`, `${part}/kernel`])
        assert.equal(axesOf(className, 'kernel', 3, { id }), [1, 2], `${className} ${id}`);
    for (const id of ['mha/attention_output/kernel', 'attention_output/kernel'])
      assert.equal(axesOf(className, 'kernel', 3, { id }), [2]);
    guess(className, 'kernel', 3, { id: 'mha/myquery/kernel' });
    guess(className, 'kernel', 3, { id: 'mha/query/kernel/more' });
    guess(className, 'kernel', 3, { id: 'mha/no_attention_output/kernel' });
    guess(className, 'kernel', 3, { id: 'mha/attention_output/kernel2' });
  }
  guess('MyMultiHeadAttention', 'kernel', 3, { id: 'mha/query/kernel' });
  guess('MultiHeadAttention2', 'kernel', 3, { id: 'mha/query/kernel' });
});

test('EinsumDense: the axes of its kernel that its output has', () => {
  const of = (equation: string, rank: number) =>
    axesOf('EinsumDense', 'kernel', rank, { config: { equation } });
  assert.equal(of('abc,cde->abde', 3), [1, 2]);
  assert.equal(of('...x,xy->...y', 2), [1]);
  assert.equal(of('abcd,dcf->abf', 3), [2]);
  assert.equal(of('ab,cb->ac', 2), [0]);
  assert.equal(of(' ab , cb -> ac ', 2), [0]);
  const undecided = (equation: string, rank: number) =>
    guess('EinsumDense', 'kernel', rank, { config: { equation } });
  undecided('abc,dce->abde', 3); // axes 0 and 2 are no neighbours
  undecided('ab,b->a', 1 + 1); // of another rank than the kernel
  undecided('ab,ab->', 2);
  undecided('ab,bc,cd->ad', 2);
  undecided('ab,bc', 2);
  undecided('ab,b1->a1', 2);
  undecided('a>b,bc->ac', 2);
  // Another class, or another variable, with an equation: nothing is known of it.
  const config = { equation: 'ab,cb->ac' };
  for (const className of ['MyEinsumDense', 'EinsumDenseX']) guess(className, 'kernel', 2, { config });
  for (const name of ['mykernel', 'kernels']) guess('EinsumDense', name, 2, { config });
  undecided('ab,bc->ac->d', 2);
  undecided('ab,bc->a,c', 2);
  // An input without letters is a form like any other.
  assert.equal(of(',ab->b', 2), [1]);
  guess('EinsumDense', 'kernel', 2);
});

test('wrappers before the class; a class of the same name from another package is a guess', () => {
  assert.equal(axesOf('Bidirectional/LSTM', 'kernel', 2), [1]);
  assert.equal(axesOf('TimeDistributed/Conv2DTranspose', 'kernel', 4), [2]);
  assert.equal(axesOf('Wrapper/Bidirectional/GRU', 'recurrent_kernel', 2), [1]);
  assert.equal(roleOf(weight('My>Conv2DTranspose', 'kernel', 4)), { kind: 'kernel', axes: [2], guess: true });
  assert.equal(roleOf(weight('Dense', 'kernel', 2, { guessed: true })), {
    kind: 'kernel',
    axes: [1],
    guess: true,
  });
  assert.equal(axesOf('Dense', 'kernel', 2, { guessed: false }), [1]);
});

test('names and classes that only begin or end like known ones are guesses', () => {
  for (const className of [
    ...['Conv4D', 'MyConv2D', 'Conv2DX', 'MyConv2DTranspose', 'Conv2DTransposed', 'DepthwiseConv3D'],
    ...[
      'MyDepthwiseConv2D',
      'DepthwiseConv2DX',
      'MyDense',
      'DenseX',
      'MyEmbedding',
      'EmbeddingX',
      'MyEinsumDense',
    ],
    ...[
      'EinsumDenseX',
      'MyLSTM',
      'LSTMX',
      'LocallyConnected3D',
      'MyLocallyConnected1D',
      'LocallyConnected1DX',
    ],
    ...[
      'SeparableConv3D',
      'MySeparableConv2D',
      'SeparableConv2DX',
      'ReversibleEmbeddingX',
      'MyReversibleEmbedding',
      'ConvLSTM4D',
    ],
    ...['TimeDistributedDenseX', 'Deconvolution1D', 'MyDeconvolution2D', 'Deconvolution2DX', 'Attention'],
  ])
    for (const name of [
      'kernel',
      'W',
      'embeddings',
      'depthwise_kernel',
      'pointwise_kernel',
      'reverse_embeddings',
    ])
      guess(className, name);
  for (const [className, name] of [
    ...(['Conv2D', 'Conv2DTranspose', 'DepthwiseConv2D', 'Dense', 'EinsumDense', 'LSTM'] as const).flatMap(
      (each) => [[each, 'my_kernelled'] as const, [each, 'kernels'] as const],
    ),
    ...[
      ['Conv2D', 'mykernel'] as const,
      ['Dense', 'mykernel'] as const,
      ['Conv2DTranspose', 'mykernel'] as const,
    ],
    ...[
      ['DepthwiseConv2D', 'mykernel'] as const,
      ['EinsumDense', 'mykernel'] as const,
      ['LSTM', 'mykernel'] as const,
    ],
    ...[['Convolution2D', 'W2'] as const, ['Convolution2D', 'myW'] as const, ['Dense', 'W2'] as const],
    ...[
      ['Embedding', 'W2'] as const,
      ['Embedding', 'myembeddings'] as const,
      ['Embedding', 'embeddings2'] as const,
    ],
    ...[
      ['SeparableConv2D', 'mypointwise_kernel'] as const,
      ['SeparableConv2D', 'pointwise_kernel2'] as const,
    ],
    ...[
      ['SeparableConv2D', 'mydepthwise_kernel'] as const,
      ['SeparableConv2D', 'depthwise_kernel2'] as const,
    ],
    ...[['ReversibleEmbedding', 'myreverse_embeddings'] as const],
    ...[['ReversibleEmbedding', 'reverse_embeddings2'] as const],
    ...[
      ['LSTM', 'W_ii'] as const,
      ['LSTM', 'W_I'] as const,
      ['LSTM', 'V_i'] as const,
      ['LSTM', 'myW'] as const,
    ],
    ...[['LocallyConnected1D', 'W2'] as const, ['LocallyConnected1D', 'mykernel'] as const],
  ])
    guess(className, name);
});

test('vectors and state stay, whatever their shape', () => {
  for (const name of [
    ...['bias', 'b', 'beta', 'gamma', 'mean', 'variance', 'count', 'moving_mean', 'moving_variance'],
    ...['moving_stddev', 'renorm_mean', 'renorm_stddev', 'running_mean', 'running_std', 'alpha', 'scale'],
    ...['vector_u', 'sn_u', 'kernel_scale', 'kernel_zero', 'embeddings_scale', 'embeddings_zero'],
    ...['reverse_embeddings_scale', 'reverse_embeddings_zero', 'awq_scales', 'g_idx'],
  ])
    assert.is(reasonOf('MyLayer', name, 2), name);
  assert.is(reasonOf('Dense', 'kernel', 1), 'vector');
  assert.is(reasonOf('Dense', 'kernel', 0), 'scalar');
  assert.is(reasonOf('Dense', 'kernel', 2), 'kernel');
  assert.is(reasonOf('PReLU', 'other', 2), 'activation parameter');
  assert.is(reasonOf('STFTSpectrogram', 'real_kernel', 3), 'spectrogram');
});

test('numbers that are no floats stay', () => {
  assert.is(reasonOf('Dense', 'kernel', 2, 'BOOL'), 'booleans');
  for (const dtype of ['U8', 'I8', 'U16', 'I16', 'U32', 'I32', 'U64', 'I64'] as const)
    assert.is(reasonOf('Dense', 'kernel', 2, dtype), 'integers');
  for (const dtype of ['F16', 'BF16', 'F32', 'F64'] as const)
    assert.is(reasonOf('Dense', 'kernel', 2, dtype), 'kernel');
});

test('normalizations stay, and only those', () => {
  const kinds = ['Batch', 'SyncBatch', 'Layer', 'Group', 'Instance', 'Unit', 'RMS', 'Spectral', 'Weight', ''];
  for (const kind of kinds) assert.is(reasonOf(`${kind}Normalization`, 'kernel', 2), 'normalization', kind);
  for (const className of ['MyBatchNormalization', 'BatchNormalizationX', 'SyncNormalization'])
    assert.is(reasonOf(className, 'kernel', 2), 'kernel', className);
});

test.run();
