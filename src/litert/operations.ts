// Operations of LiteRT by their names in its schema: number, table of options with the slots of its fields, and version.

type Kind = 'int8' | 'int32' | 'bool' | 'float32' | 'ints';

interface OptionField {
  readonly slot: number;
  readonly kind: Kind;
  readonly fallback?: number;
}

/** A table of options: its number in the union `BuiltinOptions`, and its fields. */
export interface OptionTable {
  readonly number: number;
  readonly fields: Readonly<Record<string, OptionField>>;
}

const table = (number: number, ...fields: readonly (readonly [string, Kind, number?])[]): OptionTable => ({
  number,
  fields: Object.fromEntries(
    fields.flatMap(([name, kind, fallback], slot) =>
      name === '' ? [] : [[name, { slot, kind, ...(fallback === undefined ? {} : { fallback }) }]],
    ),
  ),
});

const strides = [
  ['padding', 'int8'],
  ['stride_w', 'int32'],
  ['stride_h', 'int32'],
] as const;
const fused = ['fused_activation_function', 'int8'] as const;
const gap = ['', 'int8'] as const;

const TABLES = {
  none: undefined,
  conv2d: table(1, ...strides, fused, ['dilation_w_factor', 'int32', 1], ['dilation_h_factor', 'int32', 1]),
  depthwise: table(
    2,
    ...strides,
    ['depth_multiplier', 'int32'],
    fused,
    ['dilation_w_factor', 'int32', 1],
    ['dilation_h_factor', 'int32', 1],
  ),
  pool2d: table(5, ...strides, ['filter_width', 'int32'], ['filter_height', 'int32'], fused),
  dense: table(8, fused, gap, ['keep_num_dims', 'bool']),
  softmax: table(9, ['beta', 'float32']),
  concatenation: table(10, ['axis', 'int32'], fused),
  add: table(11, fused),
  bilinear: table(15, gap, gap, ['align_corners', 'bool'], ['half_pixel_centers', 'bool']),
  reshape: table(17, ['new_shape', 'ints']),
  mul: table(21, fused),
  pad: table(22),
  gather: table(23, ['axis', 'int32'], ['batch_dims', 'int32']),
  transpose: table(26),
  reducer: table(27, ['keep_dims', 'bool']),
  sub: table(28, fused),
  div: table(29, fused),
  stridedSlice: table(
    32,
    ['begin_mask', 'int32'],
    ['end_mask', 'int32'],
    ['ellipsis_mask', 'int32'],
    ['new_axis_mask', 'int32'],
    ['shrink_axis_mask', 'int32'],
  ),
  exp: table(33),
  split: table(35, ['num_splits', 'int32']),
  logSoftmax: table(36),
  cast: table(37, ['in_data_type', 'int8'], ['out_data_type', 'int8']),
  dequantize: table(38),
  maximumMinimum: table(39),
  argMax: table(40, ['output_type', 'int8']),
  less: table(41),
  neg: table(42),
  padV2: table(43),
  greater: table(44),
  greaterEqual: table(45),
  lessEqual: table(46),
  slice: table(48),
  transposeConv: table(49, ...strides, fused),
  tile: table(51),
  equal: table(53),
  pack: table(59, ['values_count', 'int32'], ['axis', 'int32']),
  unpack: table(64, ['num', 'int32'], ['axis', 'int32']),
  notEqual: table(54),
  pow: table(56),
  argMin: table(57, ['output_type', 'int8']),
  logicalOr: table(60),
  logicalAnd: table(62),
  logicalNot: table(63),
  square: table(66),
  nearest: table(74, ['align_corners', 'bool'], ['half_pixel_centers', 'bool']),
  leakyRelu: table(75, ['alpha', 'float32']),
  abs: table(78),
  splitV: table(79, ['num_splits', 'int32']),
  reverse: table(81),
  cos: table(84),
  quantize: table(89),
  hardSwish: table(91),
  loop: table(93, ['cond_subgraph_index', 'int32'], ['body_subgraph_index', 'int32']),
  selectV2: table(98),
  batchMatmul: table(101, ['adj_x', 'bool'], ['adj_y', 'bool']),
  conv3d: table(
    106,
    ['padding', 'int8'],
    ['stride_d', 'int32'],
    ['stride_w', 'int32'],
    ['stride_h', 'int32'],
    fused,
    ['dilation_d_factor', 'int32', 1],
    ['dilation_w_factor', 'int32', 1],
    ['dilation_h_factor', 'int32', 1],
  ),
  gelu: table(116, ['approximate', 'bool']),
  updateSlice: table(117),
  atan2: table(122),
  sign: table(123),
} as const;

/** What the schema says of an operation. */
export interface OperationInfo {
  readonly code: number;
  readonly options: OptionTable | undefined;
}

const is = (code: number, options: keyof typeof TABLES = 'none'): OperationInfo => ({
  code,
  options: TABLES[options],
});

/** Operations by their names in `BuiltinOperator`. */
export const OPERATIONS: Readonly<Record<string, OperationInfo>> = {
  ADD: is(0, 'add'),
  AVERAGE_POOL_2D: is(1, 'pool2d'),
  CONCATENATION: is(2, 'concatenation'),
  CONV_2D: is(3, 'conv2d'),
  DEPTHWISE_CONV_2D: is(4, 'depthwise'),
  DEQUANTIZE: is(6, 'dequantize'),
  FLOOR: is(8),
  FULLY_CONNECTED: is(9, 'dense'),
  LOGISTIC: is(14),
  MAX_POOL_2D: is(17, 'pool2d'),
  MUL: is(18, 'mul'),
  RELU: is(19),
  RELU_N1_TO_1: is(20),
  RELU6: is(21),
  RESHAPE: is(22, 'reshape'),
  RESIZE_BILINEAR: is(23, 'bilinear'),
  SOFTMAX: is(25, 'softmax'),
  TANH: is(28),
  PAD: is(34, 'pad'),
  GATHER: is(36, 'gather'),
  TRANSPOSE: is(39, 'transpose'),
  MEAN: is(40, 'reducer'),
  SUB: is(41, 'sub'),
  DIV: is(42, 'div'),
  STRIDED_SLICE: is(45, 'stridedSlice'),
  EXP: is(47, 'exp'),
  SPLIT: is(49, 'split'),
  LOG_SOFTMAX: is(50, 'logSoftmax'),
  CAST: is(53, 'cast'),
  PRELU: is(54),
  MAXIMUM: is(55, 'maximumMinimum'),
  ARG_MAX: is(56, 'argMax'),
  MINIMUM: is(57, 'maximumMinimum'),
  LESS: is(58, 'less'),
  NEG: is(59, 'neg'),
  PADV2: is(60, 'padV2'),
  GREATER: is(61, 'greater'),
  GREATER_EQUAL: is(62, 'greaterEqual'),
  LESS_EQUAL: is(63, 'lessEqual'),
  SLICE: is(65, 'slice'),
  SIN: is(66),
  TRANSPOSE_CONV: is(67, 'transposeConv'),
  TILE: is(69, 'tile'),
  EQUAL: is(71, 'equal'),
  NOT_EQUAL: is(72, 'notEqual'),
  LOG: is(73),
  SUM: is(74, 'reducer'),
  SQRT: is(75),
  POW: is(78, 'pow'),
  ARG_MIN: is(79, 'argMin'),
  REDUCE_PROD: is(81, 'reducer'),
  REDUCE_MAX: is(82, 'reducer'),
  PACK: is(83, 'pack'),
  LOGICAL_OR: is(84, 'logicalOr'),
  LOGICAL_AND: is(86, 'logicalAnd'),
  LOGICAL_NOT: is(87, 'logicalNot'),
  UNPACK: is(88, 'unpack'),
  REDUCE_MIN: is(89, 'reducer'),
  SQUARE: is(92, 'square'),
  RESIZE_NEAREST_NEIGHBOR: is(97, 'nearest'),
  LEAKY_RELU: is(98, 'leakyRelu'),
  ABS: is(101, 'abs'),
  SPLIT_V: is(102, 'splitV'),
  CEIL: is(104),
  REVERSE_V2: is(105, 'reverse'),
  COS: is(108, 'cos'),
  ELU: is(111),
  QUANTIZE: is(114, 'quantize'),
  ROUND: is(116),
  HARD_SWISH: is(117, 'hardSwish'),
  WHILE: is(119, 'loop'),
  SELECT_V2: is(123, 'selectV2'),
  BATCH_MATMUL: is(126, 'batchMatmul'),
  CONV_3D: is(132, 'conv3d'),
  CONV_3D_TRANSPOSE: is(141, 'conv3d'),
  GELU: is(150, 'gelu'),
  DYNAMIC_UPDATE_SLICE: is(151, 'updateSlice'),
  ATAN2: is(156, 'atan2'),
  SIGN: is(158, 'sign'),
};
