import { roundUp } from './context.js';
import type { Convolution } from './convolution.js';
import { tapsOf } from './convolution.js';
import type { Frame, Planes } from './frames.js';
import type { Program } from './program.js';

/**
 * Rows of activations that lie side by side, cut where a scale ends and where a sum would leave 32 bits.
 */
export function runsOf(
  layer: Convolution,
  staged: Staged,
  groupRows: number,
  most: number,
  scaleRow: number,
): [offset: number, rows: number, group: number][] {
  const [tall, wide] = layer.kernel;
  const depth = layer.image[2] / layer.groups;
  const total = tapsOf(layer) * depth;
  const isSolid = layer.dilations[1] === 1;
  const { bytes, across, planeBytes } = staged;
  const runs: [number, number, number][] = [];
  let k = 0;
  let inSum = 0;
  const add = (start: number, length: number) => {
    let [offset, left] = [start, length];
    while (left > 0) {
      const rows = Math.min(left, groupRows - (k % groupRows), most - inSum);
      k += rows;
      inSum += rows;
      const isEnd = k === total || k % groupRows === 0 || inSum === most;
      runs.push([offset, rows, isEnd ? Math.floor((k - 1) / groupRows) * scaleRow : -1]);
      if (isEnd) inSum = 0;
      offset += bytes * rows;
      left -= rows;
    }
  };
  for (let p = 0; p < (layer.planes?.kernel ?? 1); p++)
    for (let r = 0; r < tall; r++)
      for (let q = 0; q < (isSolid ? 1 : wide); q++) {
        const pixel = r * layer.dilations[0] * across + q * layer.dilations[1];
        const plane = p * (layer.planes?.dilation ?? 0) * planeBytes;
        add(plane + bytes * depth * pixel, isSolid ? wide * depth : depth);
      }
  return runs;
}

/** The input with its border, as a kernel reads it. */
export interface Staged {
  /** Of an activation, and of a plane. */
  readonly bytes: number;
  readonly planeBytes: number;
  readonly rows: number;
  readonly across: number;
  readonly planes: number;
}

/** @param bytes of an activation @param channels of a pixel */
export function stagedOf(layer: Frame, bytes: number, channels: number): Staged {
  const extent = (out: number, stride: number, kernel: number, dilation: number) =>
    (out - 1) * stride + (kernel - 1) * dilation + 1;
  const [rows, across] = ([0, 1] as const).map((axis) =>
    extent(layer.out[axis], layer.strides[axis], layer.kernel[axis], layer.dilations[axis]),
  ) as [number, number];
  const { planes: p } = layer;
  const planes = p ? extent(p.out, p.stride, p.kernel, p.dilation) : 1;
  return { bytes, planeBytes: roundUp(bytes * rows * across * channels, 4), rows, across, planes };
}

/** Stages all planes: those of the image by `stage`, zeros around them. */
export function stagePlanes(
  program: Program,
  planes: Planes,
  staged: Staged,
  stage: (plane: number, to: number) => void,
) {
  const room = program.roomAt('stage');
  for (let i = 0; i < staged.planes; i++) {
    const plane = i - planes.front;
    const to = room + i * staged.planeBytes;
    if (plane >= 0 && plane < planes.depth) stage(plane, to);
    else program.kernels.fill(to, staged.planeBytes >> 2, 0);
  }
}
