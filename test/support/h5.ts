import { File, FS, ready } from 'h5wasm';

/** A weight to write: float32 unless a typed array or a dtype says otherwise. */
export interface FakeWeight {
  readonly name: string;
  readonly shape: number[];
  readonly data: Float32Array | Int32Array | Float64Array;
  readonly dtype?: string;
  /** Listed in `weight_names` and left out of the file. */
  readonly missing?: boolean;
}

export interface FakeLayer {
  readonly name: string;
  readonly className: string;
  readonly config?: Record<string, unknown>;
  readonly weights: readonly FakeWeight[];
}

let made = 0;

/** A whole-model `.h5` as Keras's legacy writer lays it out, of any layers, right or wrong. */
export async function fakeKeras(
  layers: readonly FakeLayer[],
  options: { config?: string | null } = {},
): Promise<Uint8Array> {
  await ready;
  const path = `/fake-${made++}.h5`;
  const file = new File(path, 'w');
  const config = JSON.stringify({
    class_name: 'Sequential',
    config: {
      name: 'fake',
      layers: layers.map(({ name, className, config: more }) => ({
        class_name: className,
        config: { name, ...more },
      })),
    },
  });
  if (options.config !== null) file.create_attribute('model_config', options.config ?? config);
  file.create_attribute('keras_version', '2.15.0');
  file.create_attribute('backend', 'tensorflow');
  const root = file.create_group('model_weights');
  root.create_attribute(
    'layer_names',
    layers.map(({ name }) => name),
  );
  for (const layer of layers) {
    const group = root.create_group(layer.name);
    if (layer.weights.length > 0) {
      group.create_attribute(
        'weight_names',
        layer.weights.map(({ name }) => `${layer.name}/${name}:0`),
      );
    }
    const inner = group.create_group(layer.name);
    for (const { name, shape, data, dtype, missing } of layer.weights) {
      if (!missing) inner.create_dataset({ name: `${name}:0`, data, shape, dtype: dtype ?? null });
    }
  }
  file.flush();
  file.close();
  const bytes = FS?.readFile(path) as Uint8Array;
  FS?.unlink(path);
  return bytes;
}

/** One dense layer. */
export function dense(name: string, inputs: number, units: number, value: (i: number) => number): FakeLayer {
  return {
    name,
    className: 'Dense',
    config: { units },
    weights: [
      {
        name: 'kernel',
        shape: [inputs, units],
        data: Float32Array.from({ length: inputs * units }, (_, i) => value(i)),
      },
      { name: 'bias', shape: [units], data: new Float32Array(units) },
    ],
  };
}
