import { roleOf } from '../keras/axes.js';
import { isObject, type LayerNode, layersOfWeights, listedLayers } from '../keras/config.js';
import { KerasModel } from '../keras/keras-model.js';
import { loadKernels } from '../kernels/index.js';
import type { ModelSource, WeightInfo } from '../model.js';
import { layerShapes, type Shape } from '../network/index.js';
import { QuantizedModel } from '../packed/quantized-model.js';
import { whyNotRunnable } from '../runtime/check.js';
import { sizeOf } from '../shape.js';
import { openModelInput } from './inputs.js';
import { type CommonOptions, colour, count, json, printable, say, trace } from './output.js';
import { quantizedLines } from './quantize.js';
import { table } from './table.js';

interface Row {
  readonly name: string;
  readonly className: string;
  readonly depth: number;
  readonly outputShape: Shape | undefined;
  readonly parameters: number;
  readonly weights: readonly WeightRow[];
}

interface WeightRow {
  readonly id: string;
  readonly shape: readonly number[];
  readonly dtype: string;
  /** `int8`, `int4/128`, `lora`, ...: how Keras quantized it, or what it is made of; its values are floats here. */
  readonly stored?: string;
  /** `axis 3`, a scheme, or why it stays. */
  readonly quantized: string;
}

/** What quantizing would do to a weight, or what it did. */
function fate(model: ModelSource, weight: WeightInfo): string {
  if (model instanceof QuantizedModel) {
    const packed = model.weight(weight.id);
    if (packed.kind === 'kept') return `kept: ${packed.reason}`;
    const { scheme, granularity, groupSize } = packed.tensor.coding;
    return `${scheme}, ${granularity}${groupSize === undefined ? '' : ` of ${groupSize}`}`;
  }
  const role = roleOf(weight);
  if (role.kind === 'other') return `kept: ${role.reason}`;
  const guess = role.guess ? ' (a guess)' : '';
  return `yes, channels on axis ${role.axes.join(' and ')}${guess}`;
}

function weightRow(model: ModelSource, weight: WeightInfo): WeightRow {
  const { id, shape, dtype, stored } = weight;
  return { id, shape, dtype, ...(stored ? { stored: stored.as } : {}), quantized: fate(model, weight) };
}

/** Weights by the path of their layer, and where models nest by those of the models around it. */
function weightsByOwner(weights: readonly WeightInfo[], nested: boolean): Map<string, WeightInfo[]> {
  const found = new Map<string, WeightInfo[]>();
  for (const weight of weights) {
    const { layer } = weight;
    let end = layer.length;
    do {
      const owner = layer.slice(0, end);
      const list = found.get(owner);
      if (list) list.push(weight);
      else found.set(owner, [weight]);
      end = nested ? layer.lastIndexOf('/', end - 1) : 0;
    } while (end > 0);
  }
  return found;
}

function rowsOf(model: ModelSource): Row[] {
  const listed = model.architecture && listedLayers(model.architecture, model.file);
  const layers = listed ?? layersOfWeights(model.weights);
  const shapes = layerShapes(model);
  const byOwner = weightsByOwner(model.weights, listed !== undefined);
  const rows: Row[] = [];
  const visit = (layer: LayerNode, prefix: string, depth: number): void => {
    const all = byOwner.get(prefix + layer.name) ?? [];
    const own = layer.isModel ? [] : all;
    rows.push({
      name: layer.name,
      className: layer.className,
      depth,
      outputShape: shapes.get(prefix + layer.name),
      parameters: all.reduce((sum, { shape }) => sum + sizeOf(shape), 0),
      weights: own.map((weight) => weightRow(model, weight)),
    });
    if (layer.isModel) for (const child of layer.children) visit(child, `${prefix}${layer.name}/`, depth + 1);
  };
  for (const layer of layers) visit(layer, '', 0);
  if (!listed) return rows;
  // What no layer of the architecture owns: weights of the model itself, layers of other makers outside its list.
  const shown = new Set(rows.flatMap(({ weights }) => weights.map(({ id }) => id)));
  const others = model.weights.filter(({ id }) => !shown.has(id));
  const byOther = weightsByOwner(others, false);
  for (const layer of layersOfWeights(others)) {
    const own = byOther.get(layer.name) ?? [];
    rows.push({
      name: layer.name,
      className: layer.className,
      depth: 0,
      outputShape: undefined,
      parameters: own.reduce((sum, { shape }) => sum + sizeOf(shape), 0),
      weights: own.map((weight) => weightRow(model, weight)),
    });
  }
  return rows;
}

const shapeText = (shape: Shape | undefined) =>
  shape ? `(${shape.map((n) => (n === null ? 'None' : n)).join(', ')})` : '?';

export async function inspect(file: string, options: CommonOptions): Promise<void> {
  const { model, bytes, close } = await openModelInput(file, await loadKernels());
  try {
    trace(options, `${model.file}: opened`);
    const rows = rowsOf(model);
    const parameters = model.weights.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
    const kernels = model.weights.filter((weight) => roleOf(weight).kind === 'kernel');
    const quantizable = kernels.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
    const config = model.architecture?.config;
    const name = isObject(config) && typeof config.name === 'string' ? config.name : 'model';
    const head = {
      file,
      bytes,
      model: name,
      class: model.architecture?.class_name ?? 'weights',
      kerasVersion: model.kerasVersion,
    };
    const leftOut = model instanceof KerasModel ? model.leftOut : [];
    const reason = await whyNotRunnable(model);
    const runtime = reason === undefined ? { runs: true } : { runs: false, reason };
    const totals = { parameters, quantizableParameters: quantizable };
    json(options, { ...head, ...totals, layers: rows, leftOut, runtime });
    const title = `${colour.bold(printable(name))} (${printable(`${head.class}, Keras ${model.kerasVersion || 'unknown'}`)})`;
    say(options, `${title}, ${model.file}, ${count(bytes)} bytes\n`);
    const body = () =>
      rows.flatMap((row) => {
        const lines = row.weights.map(({ id, shape, dtype, stored, quantized }) => [
          `${id.slice(id.indexOf(row.name) + row.name.length + 1) || id} [${shape}]`,
          stored === undefined ? dtype : `${dtype} (${stored})`,
          quantized,
        ]);
        const [first = ['', '', ''], ...more] = lines;
        const indent = '  '.repeat(row.depth);
        return [
          [indent + row.name, row.className, shapeText(row.outputShape), count(row.parameters), ...first],
          ...more.map((line) => ['', '', '', '', ...line]),
        ];
      });
    say(options, () =>
      table(['Layer', 'Class', 'Output shape', 'Parameters', 'Weight', 'Type', 'Quantized'], body()),
    );
    const share = parameters === 0 ? 0 : (100 * quantizable) / parameters;
    say(
      options,
      `\n${count(parameters)} parameters, ${count(quantizable)} (${share.toFixed(1)} %) in kernels that are quantized by default`,
    );
    say(
      options,
      reason === undefined
        ? "bitnibble's runtime can run it"
        : `bitnibble's runtime cannot run it: ${printable(reason.replace(/^the runtime cannot run (the layer )?/, ''))}`,
    );
    if (model instanceof KerasModel) for (const line of quantizedLines(model)) say(options, line);
  } finally {
    close();
  }
}
