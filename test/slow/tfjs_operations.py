"""Runs operations of keras.ops and keras.activations on tensors of functional models: cases.json and cases.npz.

usage: python tfjs_operations.py FOLDER      (keras, tensorflow)

cases.json holds, for each case, what Keras writes of the one operation in the model: its class, its config and the
arguments of its call, with {"tensor": i} for input i. cases.npz holds inputs "N x i" and outputs "N y i" of case N.
"""
import json
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
import keras
import numpy as np
from keras import ops

a = keras.activations
rng = np.random.default_rng(5)
F = lambda *shape: rng.normal(0, 1, (3, *shape)).astype("float32")
P = lambda *shape: rng.uniform(0.1, 0.9, (3, *shape)).astype("float32")
G = lambda *shape: rng.uniform(1.1, 4, (3, *shape)).astype("float32")
I = lambda *shape: rng.integers(-5, 6, (3, *shape)).astype("int32")
B = lambda *shape: rng.random((3, *shape)) > 0.5
cases = []


def add(f, *inputs, label=None):
    cases.append((label or f"case in line {sys._getframe(1).f_lineno}", f, inputs))


for name in ("relu relu6 elu selu softplus softsign tanh sigmoid hard_sigmoid gelu silu swish mish exponential leaky_relu hard_silu "
             "celu log_sigmoid hard_tanh hard_shrink soft_shrink tanh_shrink squareplus softmax log_softmax sparse_plus "
             "sparse_sigmoid threshold glu").split():
    f = getattr(a, name)
    add((lambda x, f=f: f(x, 0.2, -3.0)) if name == "threshold" else f, F(4, 6), label=name)
for options in ({"max_value": 0.5}, {"negative_slope": 0.2}, {"threshold": 0.3}, {"threshold": -0.4, "max_value": 0.7},
                {"threshold": 0.2, "negative_slope": 0.3, "max_value": 0.5}, {"max_value": 6.0, "negative_slope": 0.1}):
    add(lambda x, o=options: a.relu(x, **o), F(4, 6), label=f"relu {options}")
for approximate in (True, False):
    add(lambda x, v=approximate: a.gelu(x, approximate=v), F(4, 6))
    add(lambda x, v=approximate: ops.gelu(x, approximate=v), F(4, 6))
for f in (lambda x: a.elu(x, 0.4), lambda x: a.celu(x, 0.4), lambda x: a.leaky_relu(x, 0.4), lambda x: ops.leaky_relu(x, 0.4),
          lambda x: a.hard_shrink(x, 0.2), lambda x: a.soft_shrink(x, 0.2), lambda x: a.squareplus(x, 2), lambda x: ops.elu(x, 0.4),
          lambda x: a.softmax(x, axis=1), lambda x: a.softmax(x, axis=(1, 2)), lambda x: a.log_softmax(x, axis=1),
          lambda x: a.glu(x, axis=1), lambda x: ops.celu(x, 0.3)):
    add(f, F(4, 6))

for name in ("negative absolute abs square sign exp exp2 expm1 sin cos tan arctan sinh cosh tanh arcsinh erf erfc deg2rad rad2deg floor "
             "ceil trunc round copy stop_gradient isnan isinf isfinite ones_like zeros_like cbrt sinc conj real relu relu6 "
             "sigmoid silu softplus softsign selu log_sigmoid hard_sigmoid hard_silu hard_tanh tanh_shrink sparse_plus").split():
    add(getattr(ops, name), F(4, 6), label=name)
for name in "sqrt rsqrt log log1p log2 log10 arcsin arccos arctanh reciprocal".split():
    add(getattr(ops, name), P(4, 6), label=name)
add(ops.arccosh, G(4, 6), label="arccosh")
add(ops.logical_not, B(4), label="logical_not")
for name in "negative absolute square sign exp sqrt floor ceil round sin mean sum relu tanh sigmoid".split():
    add(getattr(ops, name), np.abs(I(4, 3)) if name == "sqrt" else I(4, 3), label=f"{name} of integers")
add(lambda x: ops.round(x, 2), F(5))
add(lambda x: ops.clip(x, -0.5, 0.25), F(5))
add(lambda x: ops.clip(x, -2, 3), I(9), label="clip of integers")

for name in ("add subtract multiply divide true_divide maximum minimum arctan2 hypot logaddexp equal not_equal greater greater_equal less "
             "less_equal mod floor_divide divide_no_nan heaviside").split():
    f = getattr(ops, name)
    add(f, F(4, 6), F(4, 6), label=name)
    add(f, F(4, 6), F(1, 6), label=f"{name} spread")
    add(f, I(4, 6), I(4, 6) * 2 + 1, label=f"{name} of integers") if name not in ("hypot", "arctan2", "logaddexp", "heaviside") else None
for name in "logical_and logical_or logical_xor".split():
    add(getattr(ops, name), B(5), B(5), label=name)
add(ops.power, G(4), F(4), label="power")
add(lambda x: 2.0 ** x, F(4))
add(lambda x: x ** 2, F(4))
add(lambda x: x ** 3, F(4))
add(lambda x: 1 - x, F(4))
add(lambda x: x / 3, F(4))
add(lambda x: 1 / x, G(4))
add(lambda x: x * 2, I(4))
add(lambda x: x // 2, I(4))
add(lambda x: x % 3, I(4))
add(lambda x: x / 2, I(4))
add(lambda x: -x, F(4))
add(lambda x: x > 0.2, F(4))
add(lambda x: x * np.array([1, 2, 3, 4], "float32"), F(2, 4))
add(lambda x: ops.add([[1.0], [2.0]], x), F(2, 4))
add(lambda c, x, y: ops.where(c, x, y), B(4), F(4), F(4))
add(lambda c, x: ops.where(c, x, 0.5), B(2, 4), F(2, 4))
add(lambda c, x: ops.where(c, -1.0, x), B(2, 1), F(2, 4))

for name in "sum mean prod max min var std amax amin logsumexp any all count_nonzero argmax argmin average ptp".split():
    f = getattr(ops, name)
    make = B if name in ("any", "all") else F
    for axis in (1, -1, 2) + (() if name in ("argmax", "argmin", "average") else ((1, 2), (1, 2, 3))):
        add(lambda x, f=f, axis=axis: f(x, axis=axis), make(4, 5, 2), label=f"{name} axis={axis}")
        if name not in ("count_nonzero", "average"):
            add(lambda x, f=f, axis=axis: f(x, axis=axis, keepdims=True), make(4, 5, 2), label=f"{name} axis={axis} keepdims")
    if hasattr(f, "__call__") and name != "average":
        add(f, make(4, 5), label=f"{name} of all")
for ord, axis in ((None, -1), (2, 1), (1, -1), (None, (1, 2)), ("fro", (1, 2)), (None, None)):
    add(lambda x, o=ord, axis=axis: ops.norm(x, ord=o, axis=axis), F(4, 5), label=f"norm {ord} {axis}")
add(lambda x: ops.norm(x, axis=-1, keepdims=True), F(4, 5))
for axis, order in ((-1, 2), (1, 2), (-1, 1)):
    add(lambda x, axis=axis, o=order: ops.normalize(x, axis=axis, order=o), F(4, 5))
add(lambda x: ops.normalize(x, epsilon=2.0), F(4, 5))
for f in (ops.softmax, ops.log_softmax):
    for axis in (-1, 1):
        add(lambda x, f=f, axis=axis: f(x, axis=axis), F(4, 5))
for f in (ops.cumsum, ops.cumprod):
    for axis in (1, -1):
        add(lambda x, f=f, axis=axis: f(x, axis=axis), F(4, 5))

indices = ("[:, -1]", "[:, ::2]", "[:, 0]", "[:, 1:3]", "[:, :-1]", "[:, ::-1]", "[:, -2:]", "[:, 4:0:-2]", "[:, :, None]", "[..., 0]", "[..., 1:]",
           "[:, None, :, -1]", "[:, 1::3, ::2]", "[:, 0:4:3, 1]", "[..., None]", "[:, 2, 1]", "[::2]", "[1]", "[:, -3:-1, ::-1]", "[:, :100]",
           "[1:, ..., ::2]")
for index in indices:
    add(eval(f"lambda x: x{index}"), F(6, 4), label=f"x{index}")
add(lambda x: x[:, ::2, ::-1, 1:, 0], F(4, 3, 5, 2), label="x of five axes")
add(lambda x: ops.reshape(x, (-1, 12)), F(4, 3))
add(lambda x: ops.reshape(x, (-1, 2, 2, 3)), F(4, 3))
add(lambda x: ops.reshape(x, (3, -1)), F(4, 3))
add(ops.ravel, F(4, 3), label="ravel")
add(lambda x: ops.transpose(x, (0, 2, 1)), F(4, 3))
add(lambda x: ops.transpose(x, (0, 3, 1, 2)), F(4, 3, 5))
add(ops.transpose, F(4, 3), label="transpose")
add(lambda x: ops.swapaxes(x, 1, -1), F(4, 3, 2))
add(lambda x: ops.moveaxis(x, 1, -1), F(4, 3, 2))
add(lambda x: ops.moveaxis(x, (1, 2), (3, 1)), F(4, 3, 2))
add(lambda x: ops.squeeze(x, 1), F(1, 4, 1))
add(lambda x: ops.squeeze(x, -1), F(1, 4, 1))
add(lambda x: ops.squeeze(x, (1, 3)), F(1, 4, 1))
for axis in (1, -1, 2, (1, 3)):
    add(lambda x, axis=axis: ops.expand_dims(x, axis), F(4, 3), label=f"expand_dims {axis}")
for axis in (1, -1, (1, 2)):
    add(lambda x, axis=axis: ops.flip(x, axis), F(4, 3), label=f"flip {axis}")
for shift, axis in ((1, 1), (-2, 1), (7, -1)):
    add(lambda x, s=shift, axis=axis: ops.roll(x, s, axis), F(4, 3), label=f"roll {shift} {axis}")
add(lambda x: ops.repeat(x, 3, axis=1), F(4, 3))
add(lambda x: ops.repeat(x, 2, axis=-1), F(4, 3))
add(lambda x: ops.tile(x, (1, 2, 3)), F(4, 3))
add(lambda x: ops.tile(x, (1, 3)), F(4))
add(lambda x: ops.pad(x, ((0, 0), (1, 2), (0, 1))), F(4, 3))
add(lambda x: ops.pad(x, ((0, 0), (1, 2), (0, 1)), constant_values=0.5), F(4, 3))
add(lambda x: ops.pad(x, ((0, 0), (1, 2), (0, 1)), mode="reflect"), F(4, 3))
add(lambda x: ops.pad(x, ((0, 0), (1, 2), (0, 1)), mode="symmetric"), F(4, 3))
for axis in (1, -1):
    add(lambda x, y, axis=axis: ops.concatenate([x, y], axis), F(4, 3), F(4, 3), label=f"concatenate {axis}")
    add(lambda x, y, z, axis=axis: ops.stack([x, y, z], axis), F(4, 3), F(4, 3), F(4, 3), label=f"stack {axis}")
add(lambda x: ops.split(x, 2, axis=1), F(4, 3))
add(lambda x: ops.split(x, [1, 3], axis=-1), F(2, 4))
add(lambda x: ops.unstack(x, axis=1), F(4, 3))
add(lambda x: ops.take(x, np.array([0, -1, 2]), axis=1), F(4, 3))
add(lambda x: ops.take(x, 1, axis=-1), F(4, 3))
add(lambda x: ops.tril(x), F(4, 4))
add(lambda x: ops.triu(x, 1), F(4, 3))
add(lambda x: ops.cast(x, "int32"), F(9))
add(lambda x: ops.cast(x, "bool"), I(9) * 256)
add(lambda x: ops.cast(x, "float32"), I(4))
add(lambda x, y: ops.matmul(x, y), F(4, 5), F(5, 2))
add(lambda x, y: ops.matmul(x, y), F(2, 4, 5), F(1, 5, 2))
add(lambda x: ops.matmul(x, np.arange(10, dtype="float32").reshape(5, 2)), F(4, 5))
add(lambda x: ops.dot(x, np.arange(10, dtype="float32").reshape(5, 2)), F(4, 5))
add(lambda x: ops.dot(x, np.arange(5, dtype="float32")), F(4, 5))
add(lambda x: ops.tensordot(x, np.arange(40, dtype="float32").reshape(4, 5, 2), axes=2), F(4, 5))
add(lambda x, y: ops.einsum("bij,bjk->bik", x, y), F(4, 5), F(5, 2))
add(lambda x, y: ops.einsum("bij,bkj->bki", x, y), F(4, 5), F(2, 5))
add(lambda x, y: ops.einsum("bi,bi->b", x, y), F(4), F(4))
add(lambda x: ops.einsum("bij->bj", x), F(4, 5))
add(lambda x: ops.einsum("bij->bji", x), F(4, 5))


def tensors(value, numbers):
    if isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            return {"tensor": numbers[value["config"]["keras_history"][0]]}
        return {k: tensors(v, numbers) for k, v in value.items()}
    return [tensors(v, numbers) for v in value] if isinstance(value, list) else value


written, arrays, unbuilt = [], {}, []
for label, f, inputs in cases:
    starts = [keras.Input(x.shape[1:], dtype=str(x.dtype)) for x in inputs]
    try:
        model = keras.Model(starts, f(*starts))
        ys = model.predict_on_batch(list(inputs) if len(inputs) > 1 else inputs[0])
    except Exception:
        # What Keras 3.15.1 cannot build or run itself.
        unbuilt.append(label)
        continue
    layers = json.loads(model.to_json())["config"]["layers"]
    numbers = {s._keras_history.operation.name: i for i, s in enumerate(starts)}
    operations = [entry for entry in layers if entry["class_name"] != "InputLayer"]
    assert len(operations) == 1, (label, [entry["class_name"] for entry in operations])
    (operation,) = operations
    (node,) = operation["inbound_nodes"]
    n = len(written)
    for letter, values in (("x", inputs), ("y", ys if isinstance(ys, (list, tuple)) else [ys])):
        for i, value in enumerate(values):
            value = np.asarray(value)
            arrays[f"{n}{letter}{i}"] = value.astype("uint8") if value.dtype == bool else value
    written.append({
        "label": label, "className": operation["class_name"], "config": operation["config"], "args": tensors(node["args"], numbers),
        "kwargs": tensors(node["kwargs"], numbers), "bools": [str(x.dtype) == "bool" for x in inputs],
        "outputs": len(ys) if isinstance(ys, (list, tuple)) else 1,
    })
np.savez(os.path.join(sys.argv[1], "cases.npz"), **arrays)
with open(os.path.join(sys.argv[1], "cases.json"), "w") as file:
    json.dump(written, file)
print(len(written), "cases; Keras does not build", unbuilt)
