// Small measured reports to render.
import { arrayDataset } from '../../src/data/index.js';
import { openKeras } from '../../src/keras/index.js';
import { loadKernels } from '../../src/kernels/index.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { measureReport } from '../../src/pipeline/index.js';
import type { ReportDocument } from '../../src/report/types.js';
import { dense, fakeKeras } from '../support/h5.js';

const wave = (i: number) => Math.sin(i * 12.9898) * 0.5;

const reproduce: ReportDocument['reproduce'] = {
  command: "bitnibble report 'a model.h5' --data samples.npz -o report.html",
  date: '2026-01-02T03:04:05.000Z',
  files: [{ name: 'a model.h5', bytes: 12_345, sha256: 'ab'.repeat(32) }],
  preprocessing: 'inputs x 1 (by default)',
  backend: 'wasm',
  versions: { bitnibble: '0.0.0', node: '20.0.0', tfjs: '4.0.0' },
  machine: { cpu: 'A processor', cores: 2, platform: 'linux x64', memoryBytes: 1e9 },
};

export interface SmallReport {
  /** Default 4; 1: a regression. */
  readonly classes?: number;
  readonly isCalibrated?: boolean;
  readonly layers?: number;
}

/** A report of a chain of dense layers on numbers. */
export async function smallReport(options: SmallReport = {}): Promise<ReportDocument> {
  const { classes = 4, isCalibrated = true, layers = 2 } = options;
  const inner = Array.from({ length: layers }, (_, i) => ({
    ...dense(`inner_${i}`, i === 0 ? 6 : 24, 24, wave),
    config: { units: 24, activation: 'relu', ...(i === 0 ? { batch_input_shape: [null, 6] } : {}) },
  }));
  const last = {
    ...dense('last', 24, classes, wave),
    config: { units: classes, activation: classes === 1 ? 'linear' : 'softmax' },
  };
  const model = await openKeras(await fakeKeras([...inner, last]), 'a folder/a model.h5');
  const numbers = (count: number, seed: number) => ({
    ...{ name: 'samples.npz', inputShape: [6] },
    values: Float32Array.from({ length: 6 * count }, (_, i) => 2 * wave(i * 7 + seed)),
  });
  const labels = Int32Array.from({ length: 160 }, (_, i) => (i * 7) % classes);
  const { tf } = await loadTensorFlow();
  const report = await measureReport(tf, model, {
    kernels: await loadKernels(),
    dataset: arrayDataset({ ...numbers(160, 0), ...(classes > 1 ? { labels } : {}) }),
    ...(isCalibrated ? { calibration: { dataset: arrayDataset(numbers(128, 3)) } } : {}),
    mixes: 2,
  });
  return { ...report, reproduce };
}

/** Names that would run, end an element or turn text round if they were markup. */
export const HOSTILE = [
  '<img src=x onerror=alert(1)>',
  '</style><script>alert(2)</script>',
  '" onload="alert(3)',
  "'><svg/onload=alert(4)>",
  ']]><!--',
  '&lt;b&gt;\u202egnp.exe\u0000\u001b[31m',
];

/** Words of the program itself, which no file chooses. */
const OWN = new Set(['kind', 'scheme', 'unit', 'outputs', 'granularity', 'sha256', 'date', 'part']);

/** A report in which every name, and every other text, has an attack in it; equal ones stay equal. */
export function hostile(report: ReportDocument): ReportDocument {
  let made = 0;
  const known = new Map<string, string>();
  const visit = (value: unknown, key: string): unknown => {
    if (typeof value === 'string') {
      if (OWN.has(key)) return value;
      const changed = known.get(value) ?? `${value}${HOSTILE[made++ % HOSTILE.length]}`;
      known.set(value, changed);
      return changed;
    }
    if (Array.isArray(value)) return value.map((item) => visit(item, key));
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, visit(item, name)]));
  };
  return visit(report, '') as ReportDocument;
}
