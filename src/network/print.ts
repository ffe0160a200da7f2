import type { Json } from '../model.js';
import type { Network, NetworkNode, Shape, Value } from './types.js';

const shapeText = (shape: Shape | undefined): string =>
  shape ? `[${shape.map((n) => n ?? '?').join(', ')}]` : '[unknown]';

const valueText = (values: readonly Value[], at: number): string => {
  const { dtype, shape, integer } = values[at] as Value;
  const type = dtype === 'int32' && integer ? integer : dtype;
  return `%${at} ${type === 'float32' ? '' : `${type} `}${shapeText(shape)}`;
};

const attributeText = ([key, value]: [string, Json]): string => `${key}: ${JSON.stringify(value)}`;

function nodeText(node: NetworkNode, values: readonly Value[]): string {
  const outputs = node.outputs.map((at) => valueText(values, at)).join(', ');
  const isPlain = node.roles.every((role) => role === 'x');
  const inputs = node.inputs.map((at, i) => (isPlain ? `%${at}` : `${node.roles[i]}=%${at}`)).join(', ');
  const attributes = Object.entries(node.attributes).map(attributeText).join(', ');
  const weights = Object.entries(node.weights).map(([role, id]) => `${role}=${id}`);
  const parts = [
    `${node.operation}(${inputs})`,
    node.layer,
    ...(node.steps > 0 ? [`steps ${node.steps}`] : []),
    ...(attributes ? [`{${attributes}}`] : []),
    ...weights,
  ];
  return `${outputs} = ${parts.join(' ')}`;
}

/** A network as text, a line for each node: `%2 [?, 10] = Dense(%1) dense {units: 10, ...} kernel=dense/kernel`. */
export function printNetwork({ name, values, nodes, inputs, outputs, problems }: Network): string {
  return [
    `network ${name}`,
    ...inputs.map((port) => `input ${port.name}: ${valueText(values, port.value)}`),
    ...nodes.map((node) => nodeText(node, values)),
    ...outputs.map((port) => `output ${port.name}: %${port.value}`),
    ...problems.map(({ layer, className, reason }) => `problem ${layer} (${className}): ${reason}`),
  ].join('\n');
}
