// Limits of the size of a model: of models inside models, and of calls.
import { test } from 'uvu';
import type { JsonObject } from '../../src/model.js';
import { readNetwork } from '../../src/network/index.js';
import { dense, ends, info, input, net, on, refused, tensor } from '../network/support.js';

test('models that call each other ever more often are refused before memory is full', () => {
  let model: JsonObject = dense('d', 'x');
  for (let i = 0; i < 6; i++) {
    const name = i === 0 ? 'd' : `m${i - 1}`;
    const nodes = Array.from({ length: 10 }, (_, n) => on(tensor(n === 0 ? 'x' : name, Math.max(n - 1, 0))));
    const inner = { ...model, inbound_nodes: nodes };
    model = net([input('x', [null, 3]), inner], ends('x'), [[name, i === 0 ? 9 : 10, 0]], [], `m${i}`);
  }
  refused(() => readNetwork(info(model)), 'corrupt-file', 'file.keras: more than 100000 calls of layers');
});

test.run();
