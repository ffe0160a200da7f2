// The container of LiteRT, schema.fbs of version 3: https://github.com/google-ai-edge/LiteRT/blob/main/tflite/schema/schema.fbs
// Numbers are slots of fields, in the order of the schema.
import type { LazyBytes } from '../export/values.js';
import { type FlatBuffer, layOut, Table, Vector } from './flatbuffer.js';
import { OPERATIONS, type OperationInfo } from './operations.js';
import {
  type Graph,
  type Model,
  type Operation,
  type Quantization,
  type StoredTensor,
  TYPES,
} from './types.js';

const IDENTIFIER = 'TFL3';
const VERSION = 3;
/** What positions in the data of tensors are multiples of, so that it can be used where it is mapped. */
const ALIGNMENT = 16;
/** Operations of larger numbers are known by the wide field alone. */
const LARGEST_OLD_CODE = 127;

const infoOf = (op: string): OperationInfo => {
  const info = OPERATIONS[op];
  if (!info) throw new Error(`no operation ${op}`);
  return info;
};

function quantizationTable({ scales, zero, axis }: Quantization): Table {
  const count = scales.length;
  const zeros = BigInt64Array.from({ length: count }, () => BigInt(zero));
  return new Table()
    .node(2, Vector.bytes(new Uint8Array(Float32Array.from(scales).buffer), count))
    .node(3, Vector.bytes(new Uint8Array(zeros.buffer), count, 8))
    .scalar(6, 'int32', axis);
}

function operationTable(
  { op, inputs, outputs, options }: Operation,
  codes: readonly string[],
  indexOf: (name: string) => number,
): Table {
  const table = new Table().scalar(0, 'uint32', codes.indexOf(op));
  table.ints(1, inputs.map(indexOf)).ints(2, outputs.map(indexOf));
  const { options: layout } = infoOf(op);
  if (!layout) return table;
  const own = new Table();
  for (const [name, value] of Object.entries(options)) {
    const field = layout.fields[name];
    if (!field) throw new Error(`no option ${name} of ${op}`);
    const { slot, kind, fallback } = field;
    if (kind === 'ints') own.ints(slot, value as readonly number[]);
    else own.scalar(slot, kind, Number(value), fallback);
  }
  return table.scalar(3, 'uint8', layout.number).node(4, own);
}

/**
 * Lays out a model as a .tflite file.
 * @returns its length, and its bytes: those of tensors are made one at a time, as they are written
 */
export function encodeModel(model: Model): FlatBuffer {
  const codes = [...new Set(model.graphs.flatMap(({ operations }) => operations.map(({ op }) => op)))];
  // The first buffer is empty: it is that of tensors which are not stored.
  const buffers: Table[] = [new Table()];
  const bufferOf = (data: Uint8Array | LazyBytes): number =>
    buffers.push(new Table().node(0, Vector.bytes(data, data.length, ALIGNMENT))) - 1;
  const tensorTable = ({ name, type, shape, data, quantization }: StoredTensor): Table =>
    new Table()
      .ints(0, shape)
      .scalar(1, 'int8', TYPES[type])
      .scalar(2, 'uint32', data ? bufferOf(data) : 0)
      .text(3, name)
      .node(4, quantization && quantizationTable(quantization))
      .scalar(8, 'bool', 1);
  const indices = model.graphs.map(({ tensors }) => new Map(tensors.map(({ name }, i) => [name, i])));
  const subgraph = (graph: Graph, at: number): Table => {
    const indexOf = (name: string): number =>
      name === '' ? -1 : ((indices[at] as ReadonlyMap<string, number>).get(name) as number);
    return new Table()
      .tables(0, graph.tensors.map(tensorTable))
      .ints(1, graph.inputs.map(indexOf))
      .ints(2, graph.outputs.map(indexOf))
      .tables(
        3,
        graph.operations.map((own) => operationTable(own, codes, indexOf)),
      )
      .text(4, graph.name);
  };
  const subgraphs = model.graphs.map(subgraph);
  const ports = (list: Model['inputs']) =>
    list.map(([name, tensor]) =>
      new Table().text(0, name).scalar(1, 'uint32', indices[0]?.get(tensor) as number),
    );
  const metadata = Object.entries(model.metadata).map(([name, value]) =>
    new Table().text(0, name).scalar(1, 'uint32', bufferOf(new TextEncoder().encode(value))),
  );
  const signature = new Table()
    .tables(0, ports(model.inputs))
    .tables(1, ports(model.outputs))
    .text(2, 'serving_default');
  const root = new Table()
    .scalar(0, 'uint32', VERSION)
    .tables(
      1,
      codes.map((op) => {
        const { code } = infoOf(op);
        return new Table().scalar(0, 'int8', Math.min(code, LARGEST_OLD_CODE)).scalar(3, 'int32', code);
      }),
    )
    .tables(2, subgraphs)
    .text(3, model.description)
    .tables(4, buffers)
    .tables(6, metadata)
    .tables(7, [signature]);
  return layOut(root, IDENTIFIER);
}
