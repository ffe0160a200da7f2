/**
 * What went wrong with a file, a model or a tensor, for code to branch on.
 * The message always names the file, layer or tensor.
 */
export type ErrorCode =
  /** The bytes are not of the format that was expected. */
  | 'not-hdf5'
  | 'not-safetensors'
  | 'not-idx'
  | 'not-npy'
  | 'not-zip'
  | 'unknown-format'
  /** A packed file where a Keras model is expected: its weights are codes and scales already. */
  | 'already-packed'
  /** The format is right, the content is cut off, contradicts itself or claims absurd sizes. */
  | 'corrupt-file'
  /** A file that would unpack to more bytes than the stated limit. */
  | 'too-large'
  /** An HDF5 file without the architecture of a Keras model. */
  | 'no-model-config'
  /** A weight that the file lists and does not hold. */
  | 'missing-weight'
  /** A weight whose shape is not the one that its layer or its new value needs. */
  | 'shape-mismatch'
  /** A number type, filter, version or layer that cannot be handled. */
  | 'unsupported-dtype'
  | 'unsupported-filter'
  | 'unsupported-version'
  | 'unsupported-layer'
  /** A file that holds code where none belongs: it is named and never run. */
  | 'holds-code'
  /** NaN or infinity among weights. */
  | 'not-finite'
  /** A recipe rule that matches no tensor, or is malformed. */
  | 'recipe'
  /** A budget of bytes, bits or accuracy that no choice of schemes meets. */
  | 'budget'
  /** A part of a job that is missing, doubled or of another run. */
  | 'part-mismatch'
  /** Files and folders. */
  | 'not-found'
  | 'not-writable'
  | 'same-file'
  /** A download that failed or has the wrong checksum. */
  | 'download'
  /** Data of another shape than the model takes. */
  | 'data-mismatch'
  /** A server that does not answer range requests. */
  | 'no-ranges'
  /** The host has no WebAssembly SIMD, refuses to compile bytes, or the module handed in is not bitnibble's. */
  | 'no-simd'
  | 'no-compile'
  | 'bad-module'
  /** TensorFlow.js is not installed. */
  | 'no-tfjs'
  /** The packages that draw the figures of a report are not installed. */
  | 'no-plot'
  /** A JPEG image needs the package `@jsquash/jpeg`, an optional peer. */
  | 'no-jpeg'
  /** TensorFlow.js's backend cannot differentiate a layer. */
  | 'no-gradient';

/** A fault of a file, a model or the host. Wrong arguments are `TypeError` and `RangeError` instead. */
export class BitnibbleError extends Error {
  override readonly name = 'BitnibbleError';

  constructor(
    /** What kind of fault it is. */
    readonly code: ErrorCode,
    message: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
  }
}

/** `"name" expected WHAT, got VALUE (CONTEXT)`: the form of every message about an argument. */
export function expected(name: string, what: string, got: unknown, context?: string): string {
  const shown = typeof got === 'string' ? JSON.stringify(got) : String(got);
  return `"${name}" expected ${what}, got ${shown}${context ? ` (${context})` : ''}`;
}
