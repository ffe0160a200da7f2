import { type LayerNode, type Owner, ownerOf } from './config.js';

/** Layers below a model, sub-models' layers included, in the order in which Keras lists their weights. */
function leavesOf(model: LayerNode, path: readonly string[]): { node: LayerNode; path: readonly string[] }[] {
  return model.children.flatMap((child) => {
    const inner = child.isModel ? child : child.children.find((node) => node.isModel);
    const at = [...path, child.name];
    return inner ? leavesOf(inner, at) : [{ node: child, path: at }];
  });
}

/**
 * The owners of all weights in the group of `top`, in the order of the group.
 *
 * Keras 3 names weights of a model inside `top` by their layer alone, and layers of different models may share a name.
 * Of all layers with the name, a weight belongs to the one of whose path the weight's name has most; then to the first
 * that has no such weight yet, since the group lists weights in the order of the layers.
 */
export function ownersOf(top: LayerNode, weightNames: readonly string[]): Owner[] {
  const model = top.isModel ? top : top.children.find((child) => child.isModel);
  if (!model) return weightNames.map((name) => ownerOf(top, name));
  const leaves = leavesOf(model, [top.name]);
  const taken = new Set<string>();
  return weightNames.map((name) => {
    const parts = name
      .replace(/:\d+$/, '')
      .split('/')
      .filter((part) => part !== '');
    const found = leaves
      .map(({ node, path }) => {
        const at = parts.lastIndexOf(node.name, parts.length - 2);
        const score = path.filter((part) => parts.includes(part)).length;
        return { node, layer: path.join('/'), rest: at < 0 ? [] : parts.slice(at + 1), score };
      })
      .filter(({ layer, rest }) => rest.length > 0 && !taken.has([layer, ...rest].join('/')));
    const best = found.reduce<(typeof found)[number] | undefined>(
      (a, b) => (a && a.score >= b.score ? a : b),
      undefined,
    );
    if (!best) return ownerOf(top, name);
    taken.add([best.layer, ...best.rest].join('/'));
    return { layer: best.layer, node: best.node, rest: best.rest };
  });
}
