import { roundUp } from './context.js';
import { type Convolution, macsOf, type Product, tapsOf } from './convolution.js';
import { type Part, runParts, type SharedFields, shareRecord } from './parts.js';
import type { Program } from './program.js';
import { runsOf, stagedOf, stagePlanes } from './staging.js';
import { paddedToEight } from './weights.js';

/** A convolution with weights in float32. */
export function makeFloat(program: Program, layer: Convolution): Product {
  const { image, groups, columns, strides, top, left, factors, planes, weight } = layer;
  const [height, width, channels] = image;
  const [depth, count] = [channels / groups, columns / groups];
  const full = stagedOf(layer, 4, depth);
  const isLarger = full.rows > height || full.across > width;
  const isStaged = planes !== undefined || groups > 1 || top > 0 || left > 0 || isLarger;
  const staged = isStaged ? full : { ...full, across: width };
  const { across, planeBytes } = staged;
  const k = tapsOf(layer) * depth;
  const table = program.table(runsOf(layer, staged, k, Number.POSITIVE_INFINITY, 0));
  if (isStaged) program.room('stage', planeBytes * staged.planes);
  const values = () => (factors ? scaledColumns(layer.values(), factors) : layer.values());
  const pack = () => {
    const panels = program.allocate(4 * k * roundUp(count, 8) * groups);
    const own = values();
    const from = program.borrow(own.byteLength);
    program.write(from, own);
    for (let g = 0; g < groups; g++)
      program.kernels.packPanels(
        ...([
          from + 4 * g * count,
          k,
          count,
          4 * columns,
          4,
          panels + 4 * g * k * roundUp(count, 8),
        ] as const),
      );
    return panels;
  };
  const panels = factors ? pack() : program.once(weight, 'float panels', pack);
  const records = Array.from({ length: groups }, (_, g) => {
    const bias = program.put(paddedToEight(layer.bias?.subarray(g * count, (g + 1) * count), count));
    const fields = {
      ...{
        ...table,
        panels: panels + 4 * g * k * roundUp(count, 8),
        panelBytes: 32 * k,
        columns: count,
        bias,
      },
      ...{ width: layer.out[1], pixels: layer.out[0] * layer.out[1], outPitch: 4 * columns },
      ...{ strideRow: 4 * depth * across * strides[0], stridePixel: 4 * depth * strides[1] },
      ...{ low: layer.low, high: layer.high },
    };
    return shareRecord(program, macsOf(layer) / groups / (planes?.out ?? 1), fields).map(
      (share): Part => ({ ...share, record: program.record(() => share.fields) }),
    );
  });
  const { kernels } = program;
  const run: Product['run'] = (from, _slot, to, own) => {
    const room = program.roomAt('stage');
    for (let g = 0; g < groups; g++) {
      const part = from + 4 * g * depth;
      const stage = (plane: number, at: number) =>
        kernels.border(
          ...[part + 4 * plane * height * width * channels, height, width, depth, 4 * channels],
          ...([at, staged.rows, across, 1, top, left] as const),
        );
      if (planes) stagePlanes(program, planes, staged, stage);
      else if (isStaged) stage(0, room);
      for (let p = 0; p < (planes?.out ?? 1); p++) {
        const out = to + 4 * (g * count + p * layer.out[0] * layer.out[1] * columns);
        const x = isStaged ? room + p * (planes?.stride ?? 0) * planeBytes : part;
        runParts(program, 'convolveFloat', records[g] as Part[], x, out, 0, 0, own);
      }
    }
  };
  return { name: layer.name, kind: 'float', isInteger: false, macs: macsOf(layer), run };
}

/** A matrix whose columns are multiplied by factors. */
function scaledColumns(values: Float32Array, factors: Float32Array): Float32Array {
  return values.map((value, i) => value * (factors[i % factors.length] as number));
}

/** As `shareRecord`, by output rows alone: each row of kernels for single channels stands for itself. */
const shareRows = (program: Program, macs: number, fields: SharedFields) =>
  fields.pixels > fields.width ? shareRecord(program, macs, fields) : [{ fields, x: 0, out: 0 }];

export function makeDepthwise(program: Program, layer: Convolution): Product {
  const { image, columns, strides, top, left, kernel, dilations, factors } = layer;
  const [height, width, channels] = image;
  const { rows: staged, across: stagedAcross } = stagedOf(layer, 4, columns);
  const isStaged = columns > channels || top > 0 || left > 0 || staged > height || stagedAcross > width;
  const across = isStaged ? stagedAcross : width;
  const taps = kernel[0] * kernel[1];
  const pitch = roundUp(columns, 4);
  const pack = () => {
    const values = factors ? scaledColumns(layer.values(), factors) : layer.values();
    const weights = new Float32Array(taps * pitch);
    for (let t = 0; t < taps; t++) weights.set(values.subarray(t * columns, (t + 1) * columns), t * pitch);
    return program.put(weights);
  };
  const offset = (t: number) =>
    4 * columns * (Math.floor(t / kernel[1]) * dilations[0] * across + (t % kernel[1]) * dilations[1]);
  const fields = {
    ...program.table(Array.from({ length: taps }, (_, t) => [offset(t), 1, 0] as const)),
    ...{
      panels: factors ? pack() : program.once(layer.weight, 'taps', pack),
      panelBytes: 4 * pitch,
      columns,
      outPitch: 4 * columns,
    },
    bias: program.put(paddedToEight(layer.bias, columns)),
    ...{ width: layer.out[1], pixels: layer.out[0] * layer.out[1], low: layer.low, high: layer.high },
    ...{ strideRow: 4 * columns * across * strides[0], stridePixel: 4 * columns * strides[1] },
  };
  const parts = shareRows(program, macsOf(layer), fields).map(
    (share): Part => ({ ...share, record: program.record(() => share.fields) }),
  );
  if (isStaged) program.room('stage', 4 * staged * across * columns);
  const { kernels } = program;
  const run: Product['run'] = (from, _slot, to, own) => {
    const stage = program.roomAt('stage');
    if (isStaged)
      kernels.border(
        ...[from, height, width, channels, 4 * channels],
        ...([stage, staged, across, columns / channels, top, left] as const),
      );
    runParts(program, 'depthwise', parts, isStaged ? stage : from, to, 0, 0, own);
  };
  return { name: layer.name, kind: 'depthwise', isInteger: false, macs: macsOf(layer), run };
}
