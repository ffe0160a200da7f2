"""Makes random small functional graphs in Keras 3: N.keras, N.h5 and N.npz with inputs x0, x1, ... and Keras's outputs y0, y1, ...

usage: python graphs_keras.py FOLDER SEED COUNT [FIRST]      (keras, tensorflow)

Graph N of a seed is the same whatever the count. Layers are shared, models are nested in models and called several times,
there are several inputs and outputs, merges, operations on tensors, sequences with masks, images.
"""
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
import warnings

import keras
import numpy as np

warnings.filterwarnings("ignore")
L, ops, A = keras.layers, keras.ops, keras.activations

ACTIVATIONS = "relu tanh sigmoid elu selu gelu silu softplus softsign leaky_relu hard_sigmoid relu6 softmax linear".split()
FUNCTIONS = "relu relu6 gelu elu selu silu sigmoid tanh softplus softsign softmax leaky_relu hard_sigmoid hard_tanh log_sigmoid".split()
FEW = 5


class Graph:
    """Grows a model tensor by tensor; a model inside is a graph of its own."""

    def __init__(self, rng, depth):
        self.rng, self.depth = rng, depth
        self.tensors, self.used, self.shared = [], set(), {}

    def pick(self, items):
        return items[self.rng.integers(len(items))]

    def chance(self, p):
        return self.rng.random() < p

    def add(self, y, *sources):
        self.used.update(id(x) for x in sources)
        for one in y if isinstance(y, (list, tuple)) else [y]:
            if len(one.shape) in (2, 3, 4) and all(n is not None and 0 < n <= 40 for n in one.shape[1:]):
                self.tensors.append(one)

    def tensor(self, *ranks):
        """One of the tensors of these ranks, new ones rather than old ones."""
        fit = [x for x in self.tensors if len(x.shape) in ranks and x.dtype.startswith("float")]
        if not fit:
            return None
        return self.pick(fit[-3:]) if self.chance(0.7) else self.pick(fit)

    def like(self, x):
        """A tensor of the same shape, perhaps the same."""
        fit = [y for y in self.tensors if y.shape == x.shape and y.dtype == x.dtype]
        others = [y for y in fit if y is not x]
        return self.pick(others) if others and not self.chance(0.1) else x

    def activation(self):
        return self.pick(ACTIVATIONS)

    def layer(self, x):
        """A new layer, or model, that takes a tensor."""
        pick, chance, n = self.pick, self.chance, int(self.rng.integers(1, FEW + 1))
        common = [
            lambda: L.Dense(n, activation=self.activation(), use_bias=chance(0.8)),
            lambda: L.BatchNormalization(trainable=chance(0.8)),
            lambda: L.LayerNormalization(),
            lambda: L.Dropout(0.3),
            lambda: L.Activation(self.activation()),
            lambda: pick([L.ReLU(max_value=pick([None, 1.0])), L.LeakyReLU(negative_slope=0.2), L.ELU(), L.PReLU(), L.Softmax()]),
            lambda: L.Rescaling(0.5, offset=0.1),
        ]
        rank = len(x.shape)
        if rank == 2:
            return pick(common + [lambda: L.Dense(n, activation=self.activation()), lambda: L.RepeatVector(n), lambda: L.UnitNormalization()])()
        if rank == 3:
            time = x.shape[1]
            rnn = dict(return_sequences=chance(0.6), go_backwards=chance(0.2))
            return pick(common + [
                lambda: L.LSTM(n, **rnn), lambda: L.GRU(n, reset_after=chance(0.7), **rnn), lambda: L.SimpleRNN(n, **rnn),
                lambda: L.Bidirectional(L.GRU(n, return_sequences=rnn["return_sequences"]), merge_mode=pick(["concat", "sum", "ave"])),
                lambda: L.Conv1D(n, pick([1, 2, 3]), strides=pick([1, 1, 2, 4]), padding="same", activation=self.activation()),
                lambda: L.Conv1D(n, 2, padding="causal", dilation_rate=pick([1, 2])),
                lambda: L.SeparableConv1D(n, 2, padding="same"), lambda: L.Flatten(),
                lambda: L.GlobalAveragePooling1D(keepdims=chance(0.2)), lambda: L.GlobalMaxPooling1D(),
                lambda: L.MaxPooling1D(2, padding="same"), lambda: L.AveragePooling1D(2, padding="same"),
                lambda: L.TimeDistributed(L.Dense(n, activation="tanh")), lambda: L.UpSampling1D(2), lambda: L.ZeroPadding1D(1),
                lambda: L.Permute((2, 1)), lambda: L.Reshape((x.shape[2], time)), lambda: L.SpatialDropout1D(0.2),
            ])()
        size = min(x.shape[1:3])
        return pick(common + [
            lambda: L.Conv2D(n, pick([1, 2, 3]), strides=pick([1, 1, 2, 4]), padding="same", activation=self.activation()),
            lambda: L.Conv2D(n, min(size, 2)), lambda: L.DepthwiseConv2D(pick([1, 3]), strides=pick([1, 2, 4]), padding="same"),
            lambda: L.SeparableConv2D(n, 3, padding="same"), lambda: L.Conv2DTranspose(n, pick([2, 3]), strides=pick([1, 2]), padding="same"),
            lambda: L.MaxPooling2D(2, padding="same"), lambda: L.AveragePooling2D(2, padding="same"),
            lambda: L.GlobalAveragePooling2D(), lambda: L.GlobalMaxPooling2D(), lambda: L.Flatten(), lambda: L.ZeroPadding2D(1),
            lambda: L.UpSampling2D(2), lambda: L.Cropping2D(((size > 2) * 1, 0)), lambda: L.SpatialDropout2D(0.2),
            lambda: L.TimeDistributed(L.Dense(n)), lambda: L.Permute((2, 1, 3)),
        ])()

    def step_layer(self):
        x = self.tensor(2, 3, 4)
        key = tuple(x.shape[1:])
        known = self.shared.setdefault(key, [])
        layer = self.pick(known) if known and self.chance(0.3) else self.layer(x)
        known.append(layer)
        masks = len(x.shape) == 3 and isinstance(layer, (L.LSTM, L.GRU, L.SimpleRNN, L.Bidirectional, L.GlobalAveragePooling1D, L.TimeDistributed))
        given = {"mask": self.mask(x)} if masks and self.chance(0.3) else {}
        self.add(layer(x, **given), x)

    def mask(self, x):
        """A mask for sequences, made by hand: compared, joined, or one that another tensor of that length could have."""
        mask = ops.greater(x[:, :, 0], -0.2)
        return self.pick([
            lambda: mask, lambda: ops.logical_not(mask), lambda: ops.any(ops.not_equal(x, 0.0), axis=-1),
            lambda: ops.logical_or(mask, ops.less(x[..., -1], 0.1)), lambda: ops.ones_like(mask),
        ])()

    def step_merge(self):
        x = self.tensor(2, 3, 4)
        y = self.like(x)
        kind = self.rng.integers(8)
        if kind < 4:
            layer = self.pick([L.Add, L.Multiply, L.Average, L.Maximum, L.Minimum])()
            many = [x, y] + ([self.like(x)] if self.chance(0.3) else [])
            self.add(layer(many), *many)
        elif kind == 4:
            self.add(L.Subtract()([x, y]), x, y)
        elif kind == 5 and len(x.shape) == 2:
            self.add(L.Dot(1, normalize=self.chance(0.5))([x, y]), x, y)
        else:
            self.add(L.Concatenate(axis=self.pick([-1, 1]))([x, y]), x, y)

    def step_operation(self):
        x = self.tensor(2, 3, 4)
        y, rank, pick = self.like(x), len(x.shape), self.pick
        last = pick([-1, rank - 1, 1])
        choices = [
            lambda: x + y, lambda: x - y, lambda: x * y, lambda: 1.0 - x, lambda: x * 0.5, lambda: x + np.arange(x.shape[-1], dtype="float32"),
            lambda: x / (1.5 + ops.abs(y)), lambda: ops.maximum(x, y), lambda: ops.minimum(x, 0.3), lambda: ops.abs(x), lambda: -x,
            lambda: ops.square(ops.tanh(x)), lambda: ops.sqrt(ops.abs(x) + 0.1), lambda: ops.exp(ops.minimum(x, 1.0)),
            lambda: getattr(A, pick(FUNCTIONS))(x), lambda: ops.clip(x, -0.5, 0.5), lambda: ops.where(x > y, x, y * 0.5),
            lambda: ops.mean(x, axis=last, keepdims=True), lambda: ops.concatenate([x, y], axis=last),
            lambda: ops.softmax(x, axis=last), lambda: x[:, -1:], lambda: x[..., ::2], lambda: ops.flip(x, axis=last),
        ]
        if rank == 2:
            choices += [
                lambda: ops.expand_dims(x, pick([1, -1])), lambda: ops.stack([x, y], axis=pick([1, 2, -1])), lambda: x[:, None, :],
                lambda: ops.norm(x - y * 0.5 + 0.1, axis=-1, keepdims=True), lambda: ops.reshape(x, (-1, x.shape[1], 1)),
            ]
        else:
            axes = tuple(range(1, rank - 1)) if self.chance(0.5) else 1
            choices += [
                lambda: x[:, -1], lambda: x[:, 0], lambda: x[..., 0], lambda: getattr(ops, pick(["mean", "max", "min", "sum"]))(x, axis=axes),
                lambda: ops.transpose(x, (0, 2, 1, 3)[:rank]), lambda: ops.reshape(x, (-1, int(np.prod(x.shape[1:])))),
                lambda: ops.squeeze(x[:, 1:2] if x.shape[1] > 1 else x, axis=1), lambda: ops.norm(x + 0.1, axis=-1),
            ]
        if rank == 3:
            choices += [lambda: ops.matmul(x, ops.transpose(y, (0, 2, 1))), lambda: ops.expand_dims(x, -1)]
        if rank == 4:
            choices += [lambda: ops.reshape(x, (-1, x.shape[1], x.shape[2] * x.shape[3]))]
        self.add(pick(choices)(), x, y)

    def step_states(self):
        x = self.tensor(3)
        if x is None:
            return
        n = int(self.rng.integers(1, FEW))
        y, *states = self.pick([L.LSTM, L.GRU])(n, return_sequences=True, return_state=True)(x)
        again = (L.LSTM if len(states) == 2 else L.GRU)(n, return_sequences=self.chance(0.5))
        self.add([y, again(self.like(x), initial_state=states), states[-1]], x)

    def step_attention(self):
        x = self.tensor(3)
        if x is None:
            return
        y = self.like(x)
        layer = self.pick([lambda: L.MultiHeadAttention(2, 3), lambda: L.Attention(use_scale=self.chance(0.5))])()
        self.add(layer(x, y) if isinstance(layer, L.MultiHeadAttention) else layer([x, y]), x, y)

    def step_model(self):
        if self.depth >= 2:
            return self.step_layer()
        first = self.tensor(2, 3, 4)
        if self.chance(0.3):
            chain = keras.Sequential([keras.Input(first.shape[1:])] if self.chance(0.5) else [])
            x, steps = first, int(self.rng.integers(1, 4))
            for _ in range(steps):
                layer = self.layer(x)
                chain.add(layer)
                x = keras.KerasTensor((None, *layer.compute_output_shape((1, *x.shape[1:]))[1:]))
            calls = [[first]]
            inner = chain
        else:
            starts = [first] + ([self.tensor(2, 3, 4)] if self.chance(0.3) else [])
            inner = Graph(self.rng, self.depth + 1).model([keras.Input(x.shape[1:]) for x in starts], int(self.rng.integers(1, 5)))
            calls = [starts]
        for _ in range(int(self.rng.integers(0, 3))):
            calls.append([self.like(x) for x in calls[0]])
        for given in calls:
            self.add(inner(given if len(given) > 1 else given[0]), *given)

    def model(self, inputs, steps):
        for i in inputs:
            if i.dtype.startswith("int"):
                self.add(L.Embedding(9, int(self.rng.integers(2, FEW + 1)), mask_zero=self.chance(0.6))(i), i)
            else:
                self.tensors.append(i)
        kinds = [self.step_layer] * 6 + [self.step_merge] * 3 + [self.step_operation] * 4 + [self.step_model] * 2 + [self.step_states, self.step_attention]
        starts = list(self.tensors)
        for _ in range(steps):
            self.pick(kinds)()
        if self.tensors == starts:
            self.step_layer()
        loose = [x for x in self.tensors if id(x) not in self.used and not any(x is i for i in inputs)] or self.tensors[-1:]
        self.rng.shuffle(loose)
        outputs = loose[: int(self.rng.integers(1, 5))] + ([self.pick(self.tensors)] if self.chance(0.2) else [])
        known = []
        outputs = [y for y in outputs if not any(y is x for x in known + inputs) and not known.append(y)]
        # Inputs that nothing uses would be another model's.
        return keras.Model(inputs if len(inputs) > 1 else inputs[0], outputs if len(outputs) > 1 else outputs[0])


def build(rng):
    inputs, values = [], []
    for _ in range(int(rng.integers(1, 4))):
        kind = rng.integers(6)
        if kind == 0:
            length = int(rng.integers(2, 6))
            x = rng.integers(1, 9, (3, length))
            for row, n in enumerate((length, length - 1, 1)):
                x[row, n:] = 0
            inputs.append(keras.Input((length,), dtype="int32"))
            values.append(x.astype("int32"))
            continue
        n = lambda high: int(rng.integers(2, high))
        shape = (n(7),) if kind < 3 else (n(6), n(5)) if kind < 5 else (n(7), n(7), n(4))
        inputs.append(keras.Input(shape))
        values.append(rng.normal(0, 1, (3, *shape)).astype("float32"))
    net = Graph(rng, 0).model(inputs, int(rng.integers(2, 11)))
    for w in net.weights:
        if "variance" in w.path or "gamma" in w.path:
            w.assign(rng.uniform(0.5, 1.5, w.shape))
        elif len(w.shape) > 1:
            w.assign(rng.normal(0, 1 / np.sqrt(max(np.prod(w.shape[:-1]), 1)), w.shape))
        elif w.dtype.startswith("float"):
            w.assign(rng.normal(0, 0.2, w.shape))
    outputs = net(values if len(values) > 1 else values[0], training=False)
    outputs = [np.asarray(y) for y in keras.tree.flatten(outputs)]
    assert all(np.isfinite(y).all() and np.abs(y).max() < 1e4 and y.dtype == np.float32 for y in outputs)
    return net, values, outputs


def main(folder, seed, count, first=0):
    unbuilt = {}
    for number in range(first, first + count):
        for attempt in range(20):
            keras.utils.clear_session()
            try:
                net, values, outputs = build(np.random.default_rng((seed, number, attempt)))
                break
            except Exception as error:
                # Steps that do not fit the shapes at hand: another graph.
                reason = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:70] if str(error).strip() else ''}"
                unbuilt[reason] = unbuilt.get(reason, 0) + 1
        else:
            raise SystemExit(f"graph {number} of seed {seed} could not be made")
        path = os.path.join(folder, str(number))
        net.save(f"{path}.keras")
        net.save(f"{path}.h5")
        np.savez(f"{path}.npz", **{f"x{i}": x for i, x in enumerate(values)}, **{f"y{i}": y for i, y in enumerate(outputs)})
    print(count, "graphs; attempts that did not fit:", sum(unbuilt.values()))
    if os.environ.get("GRAPHS_VERBOSE"):
        for reason, n in sorted(unbuilt.items(), key=lambda item: -item[1]):
            print(n, reason)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
