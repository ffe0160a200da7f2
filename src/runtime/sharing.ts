import type { Crew } from './crew.js';
import type { LayerRecord } from './record.js';
import type { PART_KERNELS } from './thread.js';

/** A part of a layer that a thread computes alone: a record of its own, and where it begins. */
export interface Part {
  readonly record: number;
  /** Bytes behind the layer's first activation, and its first output. */
  readonly x: number;
  readonly out: number;
}

/** The fields of a record that is split into parts. */
export type SharedFields = Partial<LayerRecord> &
  Pick<LayerRecord, 'width' | 'pixels' | 'strideRow' | 'stridePixel' | 'outPitch'>;

/** What a part is made of. */
export interface Share {
  readonly fields: Partial<LayerRecord>;
  readonly x: number;
  readonly out: number;
}

/** Runs the parts of a layer. @param own range that the outputs widen */
export type RunParts<By extends readonly unknown[]> = (
  ...given: [
    ...By,
    kernel: (typeof PART_KERNELS)[number],
    parts: readonly Part[],
    x: number,
    out: number,
    factor: number,
    isPositive: number,
    own: number,
  ]
) => void;

/** How a program of several threads splits its layers and runs them: loaded with the threads. */
export interface Sharing {
  /** Shares of a record: output rows, pixels of a single row, or panels of a single pixel. */
  splitRecord(threads: number, macs: number, fields: SharedFields): readonly Share[];
  /** On the threads of a crew. */
  readonly runTogether: RunParts<
    [program: { readonly words: Int32Array<ArrayBufferLike>; partSlot(part: number): number }, crew: Crew]
  >;
}
