// The container of ONNX, onnx.proto: fields in the order of their numbers, as the library of ONNX itself writes them.
import { madeBytes, type Val } from '../export/values.js';
import { Message } from './protobuf.js';
import { type Attributes, type Graph, type Initializer, type Model, type Node, TYPES } from './types.js';

/** `AttributeProto.AttributeType` */
const ATTRIBUTE = { float: 1, int: 2, text: 3, graph: 5, floats: 6, ints: 7, texts: 8 } as const;

function attribute(name: string, value: NonNullable<Attributes[string]>): Message {
  const message = new Message().text(1, name);
  const typed = (type: keyof typeof ATTRIBUTE) => message.int(20, ATTRIBUTE[type]);
  if (typeof value === 'number') return message.int(3, value) && typed('int');
  if (typeof value === 'string') return message.bytes(4, new TextEncoder().encode(value)) && typed('text');
  if (Array.isArray(value)) {
    for (const one of value) message.int(8, one);
    return typed('ints');
  }
  if ('float' in value) return message.float(2, value.float) && typed('float');
  if ('floats' in value) {
    for (const one of value.floats) message.float(7, one);
    return typed('floats');
  }
  if ('texts' in value) return message.texts(9, value.texts) && typed('texts');
  return message.message(6, graphMessage((value as { graph: Graph }).graph)) && typed('graph');
}

function nodeMessage({ name, op, domain, inputs, outputs, attributes }: Node): Message {
  const message = new Message().texts(1, inputs).texts(2, outputs).text(3, name).text(4, op);
  for (const [key, value] of Object.entries(attributes))
    if (value !== undefined) message.message(5, attribute(key, value));
  return message.text(7, domain);
}

function valueMessage({ name, type, shape }: Val): Message {
  const dims = new Message();
  for (const n of shape) {
    const dim = new Message();
    if (typeof n === 'number') dim.int(1, n);
    else if (typeof n === 'string') dim.text(2, n);
    dims.message(1, dim);
  }
  const tensor = new Message().int(1, TYPES[type]).message(2, dims);
  return new Message().text(1, name).message(2, new Message().message(1, tensor));
}

/** Where the data of a tensor stands in another file. */
interface Place {
  readonly location: string;
  readonly offset: number;
}

function tensorMessage({ name, type, shape, data }: Initializer, place?: Place): Message {
  const message = new Message();
  for (const n of shape) message.int(1, n);
  message.int(2, TYPES[type]).text(8, name);
  if (!place) return message.bytes(9, data);
  const entries = { location: place.location, offset: String(place.offset), length: String(data.length) };
  const entry = ([key, value]: [string, string]) => new Message().text(1, key).text(2, value);
  return message.messages(13, Object.entries(entries).map(entry)).int(14, 1);
}

function graphMessage(graph: Graph, places?: ReadonlyMap<Initializer, Place>): Message {
  return new Message()
    .messages(1, graph.nodes.map(nodeMessage))
    .text(2, graph.name)
    .messages(
      5,
      graph.initializers.map((one) => tensorMessage(one, places?.get(one))),
    )
    .messages(11, graph.inputs.map(valueMessage))
    .messages(12, graph.outputs.map(valueMessage))
    .messages(13, graph.values.map(valueMessage));
}

function modelMessage(model: Model, places?: ReadonlyMap<Initializer, Place>): Message {
  const entries = (record: Readonly<Record<string, string>>) =>
    Object.entries(record).map(([key, value]) => new Message().text(1, key).text(2, value));
  return new Message()
    .int(1, model.irVersion)
    .text(2, model.producer.name)
    .text(3, model.producer.version)
    .message(7, graphMessage(model.graph, places))
    .messages(
      8,
      Object.entries(model.opsets).map(([domain, version]) => new Message().text(1, domain).int(2, version)),
    )
    .messages(14, entries(model.metadata));
}

/** Files of a message end at 2 GiB; some of it is left for what is not data of tensors. */
const MOST_BYTES = 2 ** 31 - 2 ** 24;

/** Where external data begins: at whole pages, so that it can be mapped. */
const ALIGNMENT = 4096;
/** Tensors that are worth a place in the other file. */
const LEAST_EXTERNAL = 1024;

/** A model as the bytes of its files. */
export interface Encoded {
  /** The model. @param dataName name of the file beside it that holds the data of its tensors */
  model(dataName?: string): Message;
  /** What that file holds; undefined where the model is small enough to be one file. */
  readonly data: Iterable<Uint8Array> | undefined;
  /** Of both, the second within a few. */
  readonly bytes: number;
}

/**
 * Writes a model as one file, or as two where it is larger than a file of its kind can be.
 *
 * @param most bytes of a file; default: what Protocol Buffers allow
 */
export function encodeModel(model: Model, most = MOST_BYTES): Encoded {
  const whole = modelMessage(model);
  if (whole.length <= most) return { model: () => whole, data: undefined, bytes: whole.length };
  let end = 0;
  const offsets = new Map<Initializer, number>();
  for (const one of model.graph.initializers) {
    if (one.data.length < LEAST_EXTERNAL) continue;
    const offset = Math.ceil(end / ALIGNMENT) * ALIGNMENT;
    offsets.set(one, offset);
    end = offset + one.data.length;
  }
  return {
    bytes: whole.length,
    model(location = 'model.onnx.data') {
      const places = [...offsets].map(([one, offset]) => [one, { location, offset }] as const);
      return modelMessage(model, new Map(places));
    },
    data: {
      *[Symbol.iterator]() {
        let at = 0;
        for (const [{ data }, offset] of offsets) {
          if (offset > at) yield new Uint8Array(offset - at);
          yield madeBytes(data);
          at = offset + data.length;
        }
      },
    },
  };
}
