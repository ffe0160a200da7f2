// Whole networks on the runtime: every host has to give the bits of the reference, as Node.js computed them.
import type { LoadNetworkOptions, RunnableNetwork } from '../../../src/runtime/index.js';
import { crc32, equal, random } from './check.js';

/** A packed file beside golden.safetensors, and what the reference made of its inputs. */
export interface NetworkCase {
  readonly file: string;
  readonly digest: number;
}

/** A way to the runtime. */
export interface NetworkDoor {
  readonly name: string;
  load(source: Response, options: LoadNetworkOptions): Promise<RunnableNetwork>;
}

const SAMPLES = 2;

/** CRC-32 over all outputs of two samples, numbers from -1 to 1 where they may be any, else ones. */
export function digestOf(network: RunnableNetwork): number {
  const next = random(2026);
  const inputs = Object.fromEntries(
    network.inputs.map(({ name, shape, dtype }) => {
      const length = SAMPLES * shape.reduce((n, d) => n * d, 1);
      const isAny = dtype === 'float32';
      return [name, Float32Array.from({ length }, () => (isAny ? 2 * next() - 1 : 1))];
    }),
  );
  const outputs = Object.fromEntries(
    network.outputs.map(({ name, shape }) => [
      name,
      new Float32Array(SAMPLES * shape.reduce((n, d) => n * d, 1)),
    ]),
  );
  network.runInto(inputs, outputs);
  const all = Object.values(outputs).flatMap((values) => [...values]);
  equal(
    all.length > 0 && all.every(Number.isFinite) && all.some((v) => v !== 0),
    true,
    'outputs are numbers',
  );
  return crc32(Float32Array.from(all));
}

type Test = readonly [name: string, body: () => Promise<void>];

/** @param url of golden.safetensors */
export async function networkTests(url: string, { load }: NetworkDoor): Promise<Test[]> {
  const cases = (await (await fetch(new URL('networks.json', url))).json()) as NetworkCase[];
  return cases.flatMap(({ file, digest }) =>
    (['decoded', 'packed'] as const).map(
      (weights): Test => [
        `${file}, weights ${weights}`,
        async () => {
          const network = await load(await fetch(new URL(file, url)), { weights, name: file });
          equal(digestOf(network), digest, 'digest of the outputs');
          network.dispose();
        },
      ],
    ),
  );
}
