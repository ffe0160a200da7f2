import calibrationUrl from '../../examples/digits/calibration-images-idx3-ubyte.gz?url';
import imagesUrl from '../../examples/digits/test-images-idx3-ubyte.gz?url';
import labelsUrl from '../../examples/digits/test-labels-idx1-ubyte.gz?url';
import type { DataFile, DataRequest } from './worker/protocol.js';

async function fetched(url: string, path: string): Promise<DataFile> {
  const response = await fetch(new URL(url, import.meta.url));
  if (!response.ok) throw new Error(`${path} cannot be loaded: HTTP status ${response.status}`);
  return { path, file: new File([await response.blob()], path) };
}

/** Digits that the demo's network was trained on, without labels, and those of the test to check on. */
export async function demoData(): Promise<DataRequest> {
  const [samples, images, labels] = await Promise.all([
    fetched(calibrationUrl, 'calibration-images-idx3-ubyte.gz'),
    fetched(imagesUrl, 'test-images-idx3-ubyte.gz'),
    fetched(labelsUrl, 'test-labels-idx1-ubyte.gz'),
  ]);
  return { files: [samples], check: [images, labels] };
}
