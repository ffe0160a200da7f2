// The maps that kernels are fitted by, against what the layers give: attention, ConvLSTM, products of many matrices, steps.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openNetwork } from '../../src/network/index.js';
import { openKeras } from '../../src/node/models.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { plansOf } from '../../src/pipeline/calibrate/calibrate.js';
import type { Linear, Values } from '../../src/pipeline/calibrate/linear.js';
import type { LayerPlan } from '../../src/pipeline/calibrate/types.js';
import { decide } from '../../src/pipeline/recipe.js';
import { sizeOf } from '../../src/shape.js';
import { loadNetwork } from '../../src/tfjs/load.js';
import { callsOf, type NodeCall, runCall } from '../../src/tfjs/run.js';
import type { Tensor } from '../../src/tfjs/types.js';
import { fileOf } from '../tfjs/support.js';
import { random } from './support.js';

const { tf } = await loadTensorFlow();
const BATCH = 3;

interface Seen {
  readonly call: NodeCall;
  readonly plan: LayerPlan;
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  readonly values: Values;
}

/** Calls of a network on random samples whose operation is one of some. */
async function seen(name: string, operations: RegExp): Promise<{ calls: Seen[]; dispose(): void }> {
  const model = await openKeras(fileOf(name));
  const loaded = await loadNetwork(tf, model);
  const network = callsOf(loaded);
  const decisions = decide({ default: { scheme: 'int4' } }, model.weights, model.file);
  const plans = plansOf(network, network, loaded.own, decisions);
  const { values: ports } = openNetwork(model).network;
  const next = random(3);
  const known = new Map<number, Tensor>();
  for (const value of network.inputs) {
    const { shape = [], dtype } = ports[value] ?? {};
    const own = [BATCH, ...shape.slice(1).map((n) => n ?? 6)];
    const data = Float32Array.from({ length: sizeOf(own) }, () =>
      dtype === 'bool' ? (next() > -0.5 ? 1 : 0) : next(),
    );
    known.set(value, tf.cast(tf.tensor(data, own), dtype === 'string' ? 'float32' : (dtype ?? 'float32')));
  }
  const calls: Seen[] = [];
  for (const call of network.calls) {
    const inputs = call.inputs.map((value) => known.get(value) as Tensor);
    const outputs = runCall(tf, call.layer, inputs);
    call.outputs.forEach((value, i) => {
      known.set(value, outputs[i] as Tensor);
    });
    const plan = plans.get(call.layer);
    if (!operations.test(call.node.operation)) continue;
    if (typeof plan !== 'object') throw new Error(`${call.node.layer}: ${plan}`);
    const values: Values = ({ id }) => (plan.exact.get(id) as { read(): Tensor }).read();
    calls.push({ call, plan, inputs, outputs, values });
  }
  const dispose = () => {
    tf.dispose([...known.values()]);
    loaded.model.dispose();
    model.close();
  };
  return { calls, dispose };
}

const made = (linear: Linear, { inputs, values }: Seen) =>
  linear.outputs(tf, linear.input(tf, inputs, values), values);

function assertNear(got: Tensor, wanted: Tensor, what: string): void {
  assert.is(got.size, wanted.size, what);
  const apart = tf.max(tf.abs(tf.sub(tf.reshape(got, [-1]), tf.reshape(wanted, [-1])))).dataSync()[0];
  assert.ok((apart ?? 1) < 1e-4, `${what}: ${apart} apart`);
  assert.ok((tf.max(tf.abs(wanted)).dataSync()[0] ?? 0) > 0.01, `${what}: not all zero`);
}

const biasOf = ({ plan, values }: Seen, role: RegExp): Tensor | number => {
  const id = [...plan.exact.keys()].find((own) => role.test(own));
  return id === undefined ? 0 : values({ id } as never);
};

test('attention: what its last map gives is what the layer gives; no map has another number of inputs', async () => {
  for (const name of ['attention', 'transformer', 'graph_masked_queries']) {
    const { calls, dispose } = await seen(name, /^MultiHeadAttention$/);
    assert.ok(calls.length > 0, name);
    for (const own of calls) {
      const { plan, outputs, call } = own;
      assert.is(plan.linears.length, 4);
      for (const linear of plan.linears)
        assert.is(linear.input(tf, own.inputs, own.values).shape[4], linear.k, call.node.layer);
      const last = plan.linears[3] as Linear;
      const y = tf.add(made(last, own), biasOf(own, /attention_output\/bias$/));
      assertNear(y, outputs[0] as Tensor, `${name}: ${call.node.layer}`);
    }
    dispose();
  }
});

test('EinsumDense: products of one matrix and of one for each index', async () => {
  const { calls, dispose } = await seen('einsum', /^EinsumDense$/);
  assert.ok(calls.some(({ plan }) => (plan.linears[0]?.groups ?? 0) > 1));
  for (const own of calls) {
    const [linear] = own.plan.linears as [Linear];
    const { shape } = own.outputs[0] as Tensor;
    const sum = tf.add(tf.reshape(made(linear, own), shape), biasOf(own, /bias$/));
    const y = own.call.node.attributes.activation === 'relu' ? tf.relu(sum) : sum;
    assertNear(y, own.outputs[0] as Tensor, String(own.call.node.attributes.equation));
  }
  dispose();
});

const gate = (name: unknown, x: Tensor) => {
  if (name === 'sigmoid') return tf.sigmoid(x);
  if (name === 'hard_sigmoid') return tf.clipByValue(tf.add(tf.div(x, 6), 0.5), 0, 1);
  if (name === 'relu') return tf.relu(x);
  assert.is(name, 'tanh');
  return tf.tanh(x);
};

test('ConvLSTM: from frames and states before them the gates are those of the layer', async () => {
  let checked = 0;
  for (const name of ['conv_lstm', 'conv_lstm13']) {
    const { calls, dispose } = await seen(name, /^ConvLSTM[123]D$/);
    for (const own of calls) {
      const { attributes: a, layer } = own.call.node;
      const [frames, states] = own.plan.linears as [Linear, Linear];
      assert.is(own.plan.linears.length, 2);
      const time = own.inputs[0]?.shape[1] as number;
      const seenFrames = made(frames, own);
      // Frames in the order of time, states in that of the steps made.
      const [, ...frame] = seenFrames.shape;
      const steps = (x: Tensor) => tf.unstack(tf.reshape(x, [BATCH, time, ...frame]), 1);
      const inputs = steps(seenFrames);
      if (a.go_backwards === true) inputs.reverse();
      const recurrent = steps(made(states, own));
      let carry: Tensor = tf.scalar(0);
      const hidden: Tensor[] = [];
      for (const [t, x] of inputs.entries()) {
        const sum = tf.add(tf.add(x, recurrent[t] as Tensor), biasOf(own, /bias$/));
        const [i, f, c, o] = tf.split(sum, 4, -1) as [Tensor, Tensor, Tensor, Tensor];
        const [act, sig] = [a.activation, a.recurrent_activation];
        carry = tf.add(tf.mul(gate(sig, f), carry), tf.mul(gate(sig, i), gate(act, c)));
        hidden.push(tf.mul(gate(sig, o), gate(act, carry)));
      }
      // States that the map was given are those that follow from it.
      const last = hidden.at(-1) as Tensor;
      const [output] = own.outputs as [Tensor];
      const isFirst = a.data_format === 'channels_first';
      const isSequence = a.return_sequences === true;
      const given = isSequence ? (tf.unstack(output, 1).at(-1) as Tensor) : output;
      const axes = Array.from({ length: given.rank - 2 }, (_, axis) => axis + 2);
      assertNear(last, isFirst ? tf.transpose(given, [0, ...axes, 1]) : given, `${name}: ${layer}`);
      checked++;
    }
    dispose();
  }
  assert.ok(checked >= 3, `${checked} layers`);
});

test('steps of TimeDistributed are samples', async () => {
  const { calls, dispose } = await seen('graph_distributed_model', /^(Dense|Conv[12]D)$/);
  assert.ok(calls.some(({ call }) => call.node.steps > 0));
  for (const own of calls) {
    const [linear] = own.plan.linears as [Linear];
    const image = linear.input(tf, own.inputs, own.values);
    const rows = image.size / (image.shape[4] as number);
    assert.ok(rows > 0 && made(linear, own).size > 0, own.call.node.layer);
    const { activation } = own.call.node.attributes;
    if (activation !== 'linear') continue;
    assertNear(
      tf.add(made(linear, own), biasOf(own, /bias$/)),
      own.outputs[0] as Tensor,
      own.call.node.layer,
    );
  }
  dispose();
});

test.run();
