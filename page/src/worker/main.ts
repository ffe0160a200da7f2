// Everything that takes time: reading, rounding, counting, and the demo's networks.
import { BitnibbleError } from 'bitnibble';
import { expose, transferHandlers } from 'comlink';
import type { Calibration } from './calibration.js';
import type { Classifier } from './classifier.js';
import type { Api } from './protocol.js';
import { Session } from './session.js';

const session = new Session();
let calibration: Promise<Calibration> | undefined;

/** What calibrates is fetched with the first data. */
function calibrator(): Promise<Calibration> {
  calibration ??= import('./calibration.js').then(({ Calibration }) => new Calibration(session));
  return calibration;
}

let classifier: Promise<Classifier> | undefined;

/** The demo's data is fetched when its networks are first wanted. */
function networks(): Promise<Classifier> {
  classifier ??= session.kernels().then(async (kernels) => {
    const { Classifier } = await import('./classifier.js');
    return Classifier.load(kernels);
  });
  return classifier;
}

const api: Api = {
  open: (file, onProgress) => session.open(file, onProgress),
  round: (choice, onProgress) => session.round(choice, onProgress),
  histogram: async (id, block) => session.histogram(id, block),
  levels: async (id) => session.levels(id),
  runs: () => session.runs(),
  tryOn: (file, how) => session.tryOn(file, how),
  openData: async (request, onProgress) => (await calibrator()).openData(request, onProgress),
  calibrate: async (request, onProgress, onModel) =>
    (await calibrator()).calibrate(request, onProgress, onModel),
  async answerBy(scheme, packed, samples) {
    session.setCalibrated(scheme, packed);
    await (await classifier)?.replace(scheme, new Uint8Array(await packed.arrayBuffer()), samples);
  },
  loadNetworks: async () => (await networks()).networks,
  classify: async (pixels, isTimed) => (await networks()).classify(pixels, isTimed),
  testDigit: async (index) => (await networks()).testDigit(index),
  score: async (onScore) => (await networks()).score(onScore),
};

const thrown = transferHandlers.get('throw');
if (thrown) {
  // Comlink sends an error's name and message; the code of a BitnibbleError goes with them.
  transferHandlers.set('throw', {
    ...thrown,
    serialize({ value }: { value: unknown }) {
      const error = value instanceof Error ? value : new Error(String(value));
      const { name, message, stack } = error;
      const code = error instanceof BitnibbleError ? error.code : undefined;
      return [{ isError: true, value: { name, message, stack, code } }, []];
    },
  });
}
expose(api);
