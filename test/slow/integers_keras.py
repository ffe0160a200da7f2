"""Runs operations and layers of Keras 3 on whole numbers of every width: cases.json, and N.keras where a layer has weights.

usage: python integers_keras.py FOLDER      (keras, tensorflow)

A case has its label, the types of its inputs, the architecture or the file of a model, its inputs as flat lists, and what Keras
gives, as numbers. Inputs hold the smallest and largest numbers of their type (of 32 and 64 bits, -40000 and 70000), so that
what wraps does wrap. Calls that Keras refuses are left out.
"""
import json
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
import keras
import numpy as np
from keras import layers as L
from keras import ops

folder = sys.argv[1]
TYPES = ["uint8", "int8", "int16", "uint16", "uint32", "int32", "int64"]
cases = []


def data(dtype, shape, seed):
    rng = np.random.default_rng(seed)
    if dtype == "float32":
        return rng.normal(0, 50, shape).astype(dtype)
    if dtype == "bool":
        return rng.random(shape) > 0.5
    limits = np.iinfo(dtype)
    low, high = max(limits.min, -40000), min(limits.max, 70000)
    x = rng.integers(low, high + 1, shape).astype(dtype)
    x.reshape(-1)[:4] = [low, high, 0, 1]
    return x


def case(label, f, types, shape, largest=None):
    xs = [data(dtype, (3, *shape), 1 + i) for i, dtype in enumerate(types)]
    if largest:
        xs = [np.abs(x.astype("int64") % largest).astype(x.dtype) for x in xs]
    try:
        inputs = [keras.Input(shape, dtype=dtype, name=f"in{i}") for i, dtype in enumerate(types)]
        # A layer is built for its first inputs.
        made = f() if isinstance(f, type) or getattr(f, "__code__", None) and f.__code__.co_argcount == 0 else f
        model = keras.Model(inputs, made(*inputs))
        y = np.asarray(model.predict_on_batch(xs if len(xs) > 1 else xs[0]))
    except Exception:
        return
    if not np.isfinite(y.astype("float64")).all():
        return
    one = {"label": label, "types": types, "shape": list(shape), "xs": [x.reshape(-1).astype("float64").tolist() for x in xs],
           "dtype": str(y.dtype), "y": y.reshape(-1).astype("float64").tolist()}
    if model.weights:
        one["file"] = f"{len(cases)}.keras"
        model.save(os.path.join(folder, one["file"]))
    else:
        one["architecture"] = json.loads(model.to_json())
    cases.append(one)


ONE = {name: getattr(ops, name) for name in (
    "negative abs sign square round floor ceil sqrt relu relu6 sigmoid tanh leaky_relu logical_not zeros_like ones_like").split()}
for name in "sum prod max min mean var std any all argmax norm".split():
    ONE[name] = lambda x, f=getattr(ops, name): f(x, axis=1)
ONE.update({
    "clip": lambda x: ops.clip(x, 5, 100), "clip beyond": lambda x: ops.clip(x, -3, 300), "threshold": lambda x: ops.threshold(x, 3, 1),
    "x + 3": lambda x: x + 3, "x + 0.5": lambda x: x + 0.5, "x - 3": lambda x: x - 3, "3 - x": lambda x: 3 - x, "x * 2": lambda x: x * 2,
    "x * 0.5": lambda x: x * 0.5, "x / 2": lambda x: x / 2, "x // 2": lambda x: x // 2, "x % 7": lambda x: x % 7, "x ** 2": lambda x: x**2,
    "x > 5": lambda x: x > 5, "x > -1": lambda x: ops.greater(x, -1), "max -1": lambda x: ops.maximum(x, -1),
    "max 300": lambda x: ops.maximum(x, 300), "max 9": lambda x: ops.maximum(x, 9), "where": lambda x: ops.where(x > 5, x, 3),
    "where -1": lambda x: ops.where(x > 5, x, -1), "pad": lambda x: ops.pad(x, ((0, 0), (1, 1)), constant_values=7),
    "pad -7": lambda x: ops.pad(x, ((0, 0), (1, 1)), constant_values=-7), "flip": lambda x: ops.flip(x, 1), "x[:, ::2]": lambda x: x[:, ::2],
    "stack": lambda x: ops.stack([x, x], 1), "concatenate": lambda x: ops.concatenate([x, x], 1), "repeat": lambda x: ops.repeat(x, 2, 1),
    "one_hot": lambda x: ops.one_hot(x, 5), "cast bool": lambda x: ops.cast(x, "bool"), "cast float32": lambda x: ops.cast(x, "float32"),
    "chain": lambda x: ops.cast(ops.mod(ops.cast(x, "int32") * 31 + 7, 1000), "float32") * 0.5,
    "sum of truths": lambda x: ops.sum(ops.cast(x > 3, "uint8"), axis=1) + ops.sum(ops.cast(x > 3, "int32"), axis=1),
})
for dtype in TYPES:
    ONE[f"cast {dtype}"] = lambda x, dtype=dtype: ops.cast(x, dtype)
for name, layer in {
    "Rescaling": lambda: L.Rescaling(1 / 255), "ReLU": L.ReLU, "ReLU 6": lambda: L.ReLU(max_value=6), "ReLU slope": lambda: L.ReLU(negative_slope=0.5),
    "relu": lambda: L.Activation("relu"), "linear": lambda: L.Activation("linear"), "tanh layer": lambda: L.Activation("tanh"),
    "Dense": lambda: L.Dense(2), "BatchNormalization": L.BatchNormalization, "LayerNormalization": L.LayerNormalization,
    "RMSNormalization": L.RMSNormalization, "GroupNormalization": lambda: L.GroupNormalization(2), "Flatten": L.Flatten,
    "Reshape": lambda: L.Reshape((2, 4)), "LeakyReLU": L.LeakyReLU, "Masking": L.Masking, "Dropout": lambda: L.Dropout(0.5),
    "Normalization": lambda: L.Normalization(mean=3.0, variance=4.0), "RepeatVector": lambda: L.RepeatVector(2),
}.items():
    ONE[name] = layer
TWO = {name: getattr(ops, name) for name in (
    "add subtract multiply divide maximum minimum greater equal less logical_and where power matmul").split()}
TWO["where"] = lambda x, y: ops.where(x > y, x, y)
TWO["square x - y"] = lambda x, y: ops.square(x - y)
TWO["matmul"] = lambda x, y: ops.matmul(ops.reshape(x, (-1, 1, 8)), ops.reshape(y, (-1, 8, 1)))
TWO["einsum"] = lambda x, y: ops.einsum("bi,bi->b", x, y)
for name in "Add Subtract Multiply Average Maximum Minimum Concatenate".split():
    TWO[name] = lambda x, y, name=name: getattr(L, name)()([x, y])
TWO["Dot"] = lambda x, y: L.Dot(1)([x, y])
TWO["Add of three"] = lambda x, y: L.Add()([x, y, x])
IMAGES = {
    "MaxPooling2D": L.MaxPooling2D, "GlobalMaxPooling2D": L.GlobalMaxPooling2D, "GlobalAveragePooling2D": L.GlobalAveragePooling2D,
    "ZeroPadding2D": L.ZeroPadding2D, "Cropping2D": lambda: L.Cropping2D(1), "UpSampling2D": L.UpSampling2D,
    "UpSampling2D bilinear": lambda: L.UpSampling2D(2, interpolation="bilinear"), "Resizing": lambda: L.Resizing(5, 6),
    "CenterCrop": lambda: L.CenterCrop(2, 2), "Permute": lambda: L.Permute((2, 1, 3)), "RandomFlip": L.RandomFlip,
    "RandomRotation": lambda: L.RandomRotation(0.2), "BatchNormalization of images": L.BatchNormalization,
}
for dtype in TYPES:
    for label, f in ONE.items():
        case(label, f, [dtype], (8,))
    case("Embedding", lambda: L.Embedding(100, 2), [dtype], (8,), 100)
    for label, f in TWO.items():
        case(label, f, [dtype, dtype], (8,))
    for label, f in IMAGES.items():
        case(label, f, [dtype], (4, 4, 2))
for types in (["uint8", "int8"], ["uint8", "int16"], ["int16", "uint16"], ["int32", "uint32"], ["uint8", "int32"], ["uint8", "float32"],
              ["int32", "float32"], ["uint8", "bool"], ["int32", "bool"]):
    for label in "add multiply maximum divide greater Add Concatenate where".split():
        case(label, TWO[label], types, (8,))
with open(os.path.join(folder, "cases.json"), "w") as file:
    json.dump(cases, file)
print(len(cases), "cases")
