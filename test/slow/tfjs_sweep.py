"""Makes models that hold every layer with a grid of its options, one output each: NAME.keras, NAME.npz and NAME.json.

usage: python tfjs_sweep.py FOLDER [NAME ...]      (keras, tensorflow)

NAME.json lists what each output is, NAME.npz holds inputs x0, x1, ... and what Keras's predict makes of them, y0, y1, ...
Keras cannot convolve or pool with channels first on a CPU: such layers are run with the same weights and channels last.
Nor can it dilate a transposed convolution there, which is left out.
"""
import itertools
import json
import os
import sys
import zlib

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"  # The default. Without it TensorFlow shifts pooling windows over three axes.
import keras
import numpy as np

L = keras.layers
groups = {}


def group(f):
    groups[f.__name__] = f
    return f


def grid(**options):
    for values in itertools.product(*options.values()):
        yield dict(zip(options, values))


def space(rank, n):
    """Spatial sizes, unlike each other so that a wrong axis shows."""
    return tuple(n + 2 * i for i in range(rank))


def windows():
    """Kernel, stride and dilation: all that can differ between a window that fits and one that does not."""
    for k, s in itertools.product((1, 2, 3), (1, 2, 4)):
        yield k, s, 1
    yield 5, 3, 1
    yield 3, 1, 2
    yield 2, 1, 3


def case(cls, shape, **options):
    return cls, shape, options


def convolutions(rank):
    for (k, s, d), n in itertools.product(windows(), (8, 9, 11) if rank < 3 else (5, 8)):
        for padding in ("same", "valid"):
            yield k, s, d, n, padding


@group
def conv1d(order):
    for k, s, d, n, p in convolutions(1):
        options = dict(strides=s, padding=p, dilation_rate=d, activation="tanh", data_format=order)
        yield case(L.Conv1D, (n, 4), filters=3, kernel_size=k, **options)
        if n == 9:
            yield case(L.Conv1D, (n, 4), filters=4, kernel_size=k, groups=2, **options)
            yield case(L.SeparableConv1D, (n, 4), filters=3, kernel_size=k, depth_multiplier=2, **options)
            yield case(L.Conv1D, (None, 4), filters=3, kernel_size=k, **options)
        yield case(L.DepthwiseConv1D, (n, 4), kernel_size=k, depth_multiplier=2, **options)
    for k, s, d in windows():
        if order == "channels_last":
            options = dict(strides=s, padding="causal", dilation_rate=d, data_format=order)
            yield case(L.Conv1D, (9, 4), filters=3, kernel_size=k, **options)
            yield case(L.Conv1D, (9, 4), filters=4, kernel_size=k, groups=2, **options)
            yield case(L.SeparableConv1D, (9, 4), filters=3, kernel_size=k, **options)


@group
def conv2d(order):
    for k, s, d, n, p in convolutions(2):
        options = dict(strides=s, padding=p, dilation_rate=d, activation="relu6", data_format=order)
        yield case(L.Conv2D, (*space(2, n), 4), filters=3, kernel_size=k, **options)
        if n == 9:
            yield case(L.Conv2D, (*space(2, n), 4), filters=4, kernel_size=k, groups=2, **options)
            yield case(L.SeparableConv2D, (*space(2, n), 4), filters=3, kernel_size=k, depth_multiplier=2, **options)
            yield case(L.Conv2D, (None, None, 4), filters=3, kernel_size=k, use_bias=False, **options)
        yield case(L.DepthwiseConv2D, (*space(2, n), 4), kernel_size=k, depth_multiplier=2, **options)
    for kernel, stride in (((1, 3), (1, 2)), ((3, 1), (2, 1)), ((1, 3), (2, 2)), ((3, 2), (4, 1)), ((2, 3), (1, 4))):
        for p in ("same", "valid"):
            yield case(L.Conv2D, (9, 11, 4), filters=3, kernel_size=kernel, strides=stride, padding=p, data_format=order)


@group
def conv3d(order):
    for k, s, d, n, p in convolutions(3):
        if d == 1 or n == 8:
            options = dict(strides=s, padding=p, dilation_rate=d, data_format=order)
            yield case(L.Conv3D, (*space(3, n), 2), filters=2, kernel_size=k, **options)
    yield case(L.Conv3D, (5, 7, 6, 4), filters=4, kernel_size=1, strides=2, padding="same", groups=2, data_format=order)
    yield case(L.Conv3D, (5, 7, 6, 4), filters=4, kernel_size=(1, 3, 2), strides=(2, 1, 3), padding="same", data_format=order)
    yield case(L.Conv3D, (None, None, None, 2), filters=2, kernel_size=1, strides=2, padding="same", data_format=order)


def transposed(rank, order):
    cls = getattr(L, f"Conv{rank}DTranspose")
    for k, s, p in itertools.product((1, 2, 3, 4), (1, 2, 3), ("same", "valid")):
        yield case(cls, (*space(rank, 4), 3), filters=2, kernel_size=k, strides=s, padding=p, data_format=order)
        if s > 1 and (rank < 3 or k < 4):
            yield case(cls, (*space(rank, 4), 3), filters=2, kernel_size=k, strides=s, padding=p, output_padding=1, data_format=order)


@group
def transposed1d(order):
    yield from transposed(1, order)


@group
def transposed2d(order):
    yield from transposed(2, order)


@group
def transposed3d(order):
    yield from transposed(3, order)


@group
def pooling(order):
    for rank in (1, 2, 3):
        for kind in ("Max", "Average"):
            cls = getattr(L, f"{kind}Pooling{rank}D")
            for k, s, n, p in itertools.product((1, 2, 3), (None, 1, 2, 4), (5, 8) if rank == 3 else (8, 9, 11), ("same", "valid")):
                yield case(cls, (*space(rank, n), 3), pool_size=k, strides=s, padding=p, data_format=order)
            for keep in (False, True):
                yield case(getattr(L, f"Global{kind}Pooling{rank}D"), (*space(rank, 5), 3), keepdims=keep, data_format=order)
            for p in ("same", "valid"):
                unknown = (None,) * rank
                yield case(cls, (*unknown, 3), pool_size=1, strides=2, padding=p, data_format=order)
                yield case(cls, (*unknown, 3), pool_size=3, strides=2, padding=p, data_format=order)


@group
def edges(order):
    for rank in (1, 2, 3):
        d = dict(data_format=order) if rank > 1 else {}
        if rank > 1 or order == "channels_last":
            for size in (1, 2, 3):
                yield case(getattr(L, f"UpSampling{rank}D"), (*space(rank, 4), 3), size=size, **d)
        for amount in (0, 1, 2, ((1, 2), (0, 3), (2, 1))[:rank] if rank > 1 else (1, 2)):
            yield case(getattr(L, f"ZeroPadding{rank}D"), (*space(rank, 6), 3), padding=amount, **({"data_format": order} if rank != 3 or order else {}))
            yield case(getattr(L, f"Cropping{rank}D"), (*space(rank, 6), 3), cropping=amount, **({"data_format": order} if rank > 1 else {}))
    for size in ((2, 3), (3, 1)):
        for how in ("nearest", "bilinear"):
            yield case(L.UpSampling2D, (4, 6, 3), size=size, interpolation=how, data_format=order)
    if order == "channels_last":
        for how, size in itertools.product(("nearest", "bilinear"), ((7, 5), (12, 13), (3, 20), (4, 6))):
            yield case(L.Resizing, (8, 10, 3), height=size[0], width=size[1], interpolation=how)
    yield case(L.Flatten, (4, 5, 3), data_format=order)


@group
def conv_lstm(order):
    for rank in (1, 2, 3):
        cls = getattr(L, f"ConvLSTM{rank}D")
        for k, s, p in itertools.product((1, 2, 3), (1, 2), ("same", "valid")):
            for whole in (False, True):
                if whole == (k == 2) or rank == 2:
                    yield case(cls, (3, *space(rank, 5), 2), filters=2, kernel_size=k, strides=s, padding=p,
                               return_sequences=whole, data_format=order)
        yield case(cls, (3, *space(rank, 7), 2), filters=2, kernel_size=3, dilation_rate=2, padding="same", data_format=order)
        yield case(cls, (3, *space(rank, 9), 2), filters=2, kernel_size=3, strides=4, padding="same", data_format=order)
        yield case(cls, (3, *space(rank, 6), 2), filters=2, kernel_size=2, padding="same", go_backwards=True, use_bias=False,
                   recurrent_activation="sigmoid", activation="relu", data_format=order)


@group
def both_ways(order):
    for rank, mode, whole in itertools.product((1, 2, 3), ("concat", "sum", "mul", "ave"), (False, True)):
        options = dict(filters=2, kernel_size=2, padding="same", return_sequences=whole)
        cls = getattr(L, f"ConvLSTM{rank}D")
        yield (lambda cls=cls, o=options, mode=mode, **_: L.Bidirectional(cls(**o), merge_mode=mode)), (3, *space(rank, 5), 2), {}
    yield (lambda **_: L.Bidirectional(L.ConvLSTM2D(2, 2, strides=3, padding="same"))), (3, 6, 8, 2), {}


@group
def within_time(order):
    def timed(cls, **options):
        return lambda **more: L.TimeDistributed(cls(**options, **more))
    for p in ("same", "valid"):
        for k, s in ((3, 4), (1, 2), (2, 3), (3, 2)):
            for rank in (1, 2, 3):
                yield timed(getattr(L, f"Conv{rank}D"), filters=2, kernel_size=k, strides=s, padding=p), (3, *space(rank, 8), 2), {}
                yield timed(getattr(L, f"AveragePooling{rank}D"), pool_size=k, strides=s, padding=p), (3, *space(rank, 8), 2), {}
                yield timed(getattr(L, f"MaxPooling{rank}D"), pool_size=k, strides=s, padding=p), (3, *space(rank, 8), 2), {}
            yield timed(L.DepthwiseConv2D, kernel_size=k, strides=s, padding=p), (3, 8, 10, 2), {}
            yield timed(L.SeparableConv2D, filters=2, kernel_size=k, strides=s, padding=p), (3, 8, 10, 2), {}


@group
def recurrent(order):
    for cls, more in ((L.LSTM, {}), (L.GRU, {}), (L.GRU, {"reset_after": False}), (L.SimpleRNN, {})):
        for options in grid(return_sequences=(False, True), go_backwards=(False, True)):
            yield case(cls, (5, 3), units=4, **options, **more)
        gates = {} if cls is L.SimpleRNN else {"recurrent_activation": "hard_sigmoid"}
        yield case(cls, (5, 3), units=3, activation="relu", use_bias=False, **gates, **more)
        yield case(cls, (5, 3), units=3, unroll=True, return_sequences=True, dropout=0.3, recurrent_dropout=0.2, **more)
        for mode, whole in itertools.product(("concat", "sum", "mul", "ave"), (False, True)):
            yield (lambda cls=cls, mode=mode, whole=whole, more=more, **_: L.Bidirectional(
                cls(3, return_sequences=whole, **more), merge_mode=mode)), (5, 3), {}
    yield (lambda **_: L.TimeDistributed(L.LSTM(3))), (4, 5, 3), {}
    yield (lambda **_: L.TimeDistributed(L.Dense(3, activation="gelu"))), (4, 5, 3), {}


@group
def elementwise(order):
    for shape in ((6,), (4, 6), (3, 4, 6), (2, 3, 4, 6)):
        for name in ("BatchNormalization", "LayerNormalization"):
            for axis in range(1, len(shape) + 1):
                yield case(getattr(L, name), shape, axis=axis)
            yield case(getattr(L, name), shape, scale=False)
            yield case(getattr(L, name), shape, center=False, epsilon=0.1)
        yield case(L.BatchNormalization, shape, renorm=True)
        if len(shape) > 1:
            yield case(L.LayerNormalization, shape, axis=[-2, -1])
            yield case(L.LayerNormalization, shape, axis=[1, 2])
            yield case(L.RMSNormalization, shape)
            yield case(L.UnitNormalization, shape, axis=1)
            for groups in (1, 2, 6):
                yield case(L.GroupNormalization, shape, groups=groups)
            yield case(L.PReLU, shape, shared_axes=[1])
        yield case(L.PReLU, shape)
        for axis in range(-1, len(shape) + 1):
            if axis:
                yield case(L.Softmax, shape, axis=axis)
        for options in ({}, {"max_value": 0.5}, {"negative_slope": 0.2}, {"threshold": 0.3}, {"max_value": 0.5, "threshold": 0.3},
                        {"max_value": 0.5, "threshold": 0.1, "negative_slope": 0.2}, {"max_value": 0.5, "negative_slope": 0.2}):
            yield case(L.ReLU, shape, **options)
        for alpha in (0.1, 0.3, 1.0):
            yield case(L.LeakyReLU, shape, negative_slope=alpha)
            yield case(L.ELU, shape, alpha=alpha)
        yield case(L.Dense, shape, units=5, activation="hard_sigmoid")
        yield case(L.Dense, shape, units=5, use_bias=False)
        for cls, options in ((L.Dropout, {"rate": 0.4}), (L.GaussianNoise, {"stddev": 1.0}), (L.GaussianDropout, {"rate": 0.4}),
                             (L.AlphaDropout, {"rate": 0.4}), (L.ActivityRegularization, {"l2": 0.1}), (L.Identity, {})):
            yield case(cls, shape, **options)
        yield case(L.Flatten, shape)
        yield case(L.Rescaling, shape, scale=0.3, offset=-0.2)
        yield case(L.Rescaling, shape, scale=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6], offset=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    names = ("linear relu relu6 elu selu softplus softsign tanh sigmoid hard_sigmoid gelu silu mish exponential leaky_relu hard_silu "
             "celu log_sigmoid hard_tanh hard_shrink soft_shrink tanh_shrink squareplus softmax log_softmax")
    for name in names.split():
        yield case(L.Activation, (4, 6), activation=name)
        yield case(L.Conv2D, (4, 5, 3), filters=4, kernel_size=2, activation=name)
    yield case(L.Reshape, (4, 6), target_shape=(3, 8))
    yield case(L.Reshape, (4, 6), target_shape=(-1, 2, 3))
    yield case(L.Permute, (3, 4, 6), dims=(3, 1, 2))
    yield case(L.RepeatVector, (6,), n=3)
    for rank in (1, 2, 3):
        yield case(getattr(L, f"SpatialDropout{rank}D"), (*space(rank, 4), 3), rate=0.4)


@group
def images(order):
    for cls, options in (
        (L.AutoContrast, {}), (L.AutoContrast, {"value_range": (0, 1)}), (L.AutoContrast, {"value_range": (-2, 3)}), (L.AugMix, {}),
        (L.CutMix, {}), (L.MaxNumBoundingBoxes, {"max_number": 3}), (L.MixUp, {}), (L.RandAugment, {}),
        (L.RandomBrightness, {"factor": 0.5}), (L.RandomColorDegeneration, {"factor": 0.5}),
        (L.RandomColorJitter, {"brightness_factor": 0.5}), (L.RandomContrast, {"factor": 0.5}),
        (L.RandomElasticTransform, {}), (L.RandomErasing, {}), (L.RandomFlip, {}), (L.RandomGaussianBlur, {"factor": 1.0}),
        (L.RandomGrayscale, {"factor": 1.0}), (L.RandomHue, {"factor": 0.5}), (L.RandomInvert, {"factor": 1.0}),
        (L.RandomPerspective, {"factor": 1.0}), (L.RandomPosterization, {"factor": 4}), (L.RandomRotation, {"factor": 0.5}),
        (L.RandomSaturation, {"factor": 0.9}), (L.RandomSharpness, {"factor": 0.9}), (L.RandomShear, {"x_factor": 0.5}),
        (L.RandomTranslation, {"height_factor": 0.5, "width_factor": 0.5}), (L.RandomZoom, {"height_factor": 0.5}),
        (L.Solarization, {"threshold_factor": 0.5}),
        (L.RandomCrop, {"height": 12, "width": 14}), (L.CenterCrop, {"height": 7, "width": 9}),
        (L.CenterCrop, {"height": 12, "width": 14}),
    ):
        yield case(cls, (12, 14, 3), **options)


ONE_ORDER = {"both_ways", "within_time", "recurrent", "elementwise", "images"}


def first_shape(shape, cls):
    """The shape of a sample with its channels first, behind the time of a ConvLSTM."""
    if getattr(cls, "__name__", "").startswith("ConvLSTM"):
        return (shape[0], shape[-1], *shape[1:-1])
    return (shape[-1], *shape[:-1])


def label(cls, shape, options):
    name = cls.__name__
    if name == "<lambda>":
        wrapper = cls()
        inner = getattr(wrapper, "layer", None) or wrapper.forward_layer
        keys = ("kernel_size", "pool_size", "strides", "padding", "return_sequences")
        name = f"{type(wrapper).__name__} {getattr(wrapper, 'merge_mode', '')}"
        name += f" {type(inner).__name__} " + " ".join(f"{k}={getattr(inner, k)}" for k in keys if hasattr(inner, k))
        return f"{name} {list(shape)}"
    return f"{name} {list(shape)} " + " ".join(f"{k}={v}" for k, v in options.items())


def build(cases, order):
    inputs, ends = {}, []
    for i, (cls, shape, options) in enumerate(cases):
        ordered = "data_format" in options
        key = first_shape(shape, cls) if ordered and order == "channels_first" else shape
        kind = (shape, ordered, getattr(cls, "__name__", "").startswith("ConvLSTM"))
        if kind not in inputs:
            inputs[kind] = keras.Input(key)
        if "data_format" in options:
            options = {**options, "data_format": order}
        layer = cls(**options, name=f"case_{i}") if isinstance(cls, type) else cls()
        ends.append(layer(inputs[kind]))
    return keras.Model(list(inputs.values()), ends), list(inputs)


def valid(cls, shape, options):
    """Whether Keras itself takes the layer."""
    try:
        last = {**options, "data_format": "channels_last"} if "data_format" in options else options
        n = keras.Input(shape)
        out = (cls(**last) if isinstance(cls, type) else cls())(n)
        return all(d is None or d > 0 for d in out.shape)
    except ValueError:
        return False


def random(rng, variable):
    shape = variable.shape
    if "variance" in variable.name:
        return rng.uniform(0.5, 1.5, shape).astype("float32")
    if not str(variable.dtype).startswith("float"):
        return np.asarray(variable)
    return rng.normal(0, 1 / np.sqrt(max(np.prod(shape[:-1]), 4)) if len(shape) > 1 else 0.3, shape).astype("float32")


def make(name, folder, order):
    keras.utils.clear_session()
    keras.utils.set_random_seed(7)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    cases = [c for c in groups[name](order) if valid(*c)]
    net, keys = build(cases, order)
    weights = [random(rng, v) for v in net.weights]
    net.set_weights(weights)
    given = [rng.normal(0, 1, (2, *(9 + 2 * i if d is None else d for i, d in enumerate(shape)))).astype("float32")
             for shape, _, _ in keys]
    xs, runner = given, net
    if order == "channels_first":
        runner, _ = build(cases, "channels_last")
        runner.set_weights(weights)
        xs = [np.moveaxis(x, -1, 2 if time else 1) if ordered else x for x, (_, ordered, time) in zip(given, keys)]
    ys = runner.predict(given, verbose=0)
    ys = ys if isinstance(ys, list) else [ys]
    if order == "channels_first":
        for i, (cls, _, options) in enumerate(cases):
            time = getattr(cls, "__name__", "").startswith("ConvLSTM") and options.get("return_sequences")
            if ys[i].ndim > 2 and "data_format" in options:
                ys[i] = np.moveaxis(ys[i], -1, 2 if time else 1)
    stem = os.path.join(folder, name + ("_first" if order == "channels_first" else ""))
    net.save(stem + ".keras")
    np.savez(stem + ".npz", **{f"x{i}": x for i, x in enumerate(xs)}, **{f"y{i}": y for i, y in enumerate(ys)})
    with open(stem + ".json", "w") as file:
        json.dump([label(*c) for c in cases], file)
    print(stem, len(cases), flush=True)


if __name__ == "__main__":
    for name in sys.argv[2:] or groups:
        for order in ("channels_last",) if name in ONE_ORDER else ("channels_last", "channels_first"):
            make(name, sys.argv[1], order)
