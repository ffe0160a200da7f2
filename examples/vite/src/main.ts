import { loadNetwork } from 'bitnibble/runtime';
import url from './digits.safetensors?url';

const SIDE = 28;
const status = document.querySelector('[role=status]') as HTMLElement;
const input = document.querySelector('input') as HTMLInputElement;

/** The image in the network's size: grey, from 0 to 1, ink bright on dark as in the training set. */
async function pixelsOf(file: Blob): Promise<Float32Array> {
  const image = await createImageBitmap(file, {
    resizeWidth: SIDE,
    resizeHeight: SIDE,
    resizeQuality: 'high',
  });
  const canvas = new OffscreenCanvas(SIDE, SIDE);
  const context = canvas.getContext('2d') as OffscreenCanvasRenderingContext2D;
  context.drawImage(image, 0, 0);
  const { data } = context.getImageData(0, 0, SIDE, SIDE);
  const grey = Float32Array.from({ length: SIDE * SIDE }, (_, i) => {
    const [r = 0, g = 0, b = 0] = data.subarray(4 * i, 4 * i + 3);
    return (0.299 * r + 0.587 * g + 0.114 * b) / 255;
  });
  const border = grey[0] ?? 0;
  return border > 0.5 ? grey.map((value) => 1 - value) : grey;
}

try {
  const network = await loadNetwork(fetch(url));
  input.addEventListener('change', async () => {
    const [file] = input.files ?? [];
    if (!file) return;
    try {
      const scores = network.run(await pixelsOf(file));
      const digit = scores.indexOf(Math.max(...scores));
      status.textContent = `${file.name}: ${digit}, with ${Math.round(100 * (scores[digit] ?? 0))} %`;
    } catch (error) {
      status.textContent = `${file.name}: ${(error as Error).message}`;
    }
  });
  status.textContent = 'The network is ready.';
} catch (error) {
  status.textContent = (error as Error).message;
}
