"""Keras models of every layer of Keras that has weights, and what int4 per channel makes of their weights.

usage: python models.py make FOLDER      saves NAME.keras, NAME.h5, NAME.weights.h5, NAME.weights.json with shards
       python models.py check FOLDER     compares FOLDER/out, as bitnibble wrote it, with NumPy

The axes below are written from the kernel shapes that Keras documents for each layer, not from bitnibble's table.
"""
import inspect
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
import numpy as np

L = keras.layers
rng = np.random.default_rng(11)
SHARDED, FLAT = ("wide",), ("conv", "recurrent", "attention", "volume", "nested", "types", "wide")


def conv():
    return keras.Sequential([
        keras.Input((12, 12, 2)), L.Conv2D(4, 3, name="first"), L.BatchNormalization(scale=False), L.Conv2D(6, 3, groups=2),
        L.DepthwiseConv2D(2, depth_multiplier=2), L.SeparableConv2D(5, 3, depth_multiplier=2), L.Conv2DTranspose(3, 2),
        L.PReLU(), L.GroupNormalization(3), L.BatchNormalization(center=False), L.BatchNormalization(), L.Reshape((-1, 3)),
        L.Conv1D(4, 3), L.Conv1DTranspose(3, 3), L.DepthwiseConv1D(2, depth_multiplier=3), L.SeparableConv1D(4, 2),
        L.LayerNormalization(), L.RMSNormalization(), L.Flatten(), L.Dropout(0.5), L.Dense(5, use_bias=False), L.Dense(3),
    ], name="conv_net")


def recurrent():
    cells = [L.LSTMCell(3), L.GRUCell(4), L.LSTMCell(2)]
    i = keras.Input((5,), dtype="int32")
    x = L.Embedding(11, 6)(i)
    for layer in [
        L.Bidirectional(L.LSTM(4, return_sequences=True), name="both"), L.TimeDistributed(L.Dense(4)),
        L.GRU(3, return_sequences=True), L.GRU(3, return_sequences=True, reset_after=False),
        L.SimpleRNN(3, return_sequences=True), L.RNN(L.StackedRNNCells(cells), return_sequences=True),
        L.RNN(L.SimpleRNNCell(3), return_sequences=True),
        L.TimeDistributed(keras.Sequential([L.Dense(3), L.Dense(2, name="inner")])),
        L.Bidirectional(L.GRU(3), backward_layer=L.GRU(4, go_backwards=True, name="back")), L.Dense(2),
    ]:
        x = layer(x)
    return keras.Model(i, x, name="recurrent_net")


def attention():
    i, token = keras.Input((6, 8)), keras.Input((6,), dtype="int32")
    x = L.MultiHeadAttention(2, 4, name="heads")(i, i)
    x = L.Add()([x, L.ReversibleEmbedding(11, 8, tie_weights=False)(token)])
    x = L.GroupQueryAttention(4, 4, 2)(x, x)
    x = L.Attention(use_scale=True, score_mode="concat")([x, x])
    x = L.AdditiveAttention()([x, x])
    x = L.LayerNormalization()(keras.ops.add(x, i))
    x = L.Add()([x, i])
    x = L.SpectralNormalization(L.Dense(4))(x)
    x = L.EinsumDense("abc,cd->abd", output_shape=(None, 6), bias_axes="d", name="last_axis")(x)
    x = L.EinsumDense("abc,dc->abd", output_shape=(None, 5), name="first_axis")(x)
    x = L.EinsumDense("...x,xyz->...yz", output_shape=(2, 3), bias_axes="yz", name="two_axes")(x)
    return keras.Model([i, token], x, name="attention_net")


def volume():
    i = keras.Input((4, 6, 6, 2))
    x = L.ConvLSTM2D(3, 2, return_sequences=True)(i)
    x = L.Conv3DTranspose(2, 2)(L.Conv3D(2, 2)(x))
    x = L.TimeDistributed(L.Conv2D(2, 2))(x)
    x = L.Bidirectional(L.ConvLSTM2D(2, 2, return_sequences=True))(x)
    x = L.TimeDistributed(L.ConvLSTM1D(2, 2))(x)
    j, sound = keras.Input((2, 3, 4, 4, 2)), keras.Input((64, 1))
    y = L.ConvLSTM3D(2, 2)(j)
    z = L.STFTSpectrogram(frame_length=16, frame_step=8, fft_length=16, window=None)(sound)
    return keras.Model([i, j, sound], [x, y, z], name="volume_net")


def nested():
    deep = keras.Sequential([keras.Input((8,)), L.Dense(8, name="deep"), L.Dense(8)], name="deepest")
    a = keras.Input((8,))
    block = keras.Model(a, L.Dense(8)(deep(a)), name="block")
    i, j = keras.Input((8,), name="numbers"), keras.Input((), dtype="int32", name="token")
    norm = L.Normalization()
    norm.adapt(rng.random((10, 3)))
    x = L.Add()([block(block(i)), L.Embedding(10, 8)(j)])
    m = keras.Model([i, j], norm(L.Dense(3)(x)), name="nested_net")
    m.compile("adam", keras.losses.MeanSquaredError())
    m.fit([np.zeros((2, 8)), np.zeros(2, "int32")], np.zeros((2, 3)), verbose=0)
    return m


def types():
    return keras.Sequential([
        keras.Input((6,)), L.Dense(5, dtype="float16"), L.Dense(4, dtype="bfloat16"), L.Dense(3, dtype="float64"),
        L.Dense(4, dtype="mixed_float16"), L.Dense(2)], name="types_net")


def wide():
    return keras.Sequential([keras.Input((8,)), L.Dense(300, name="a"), L.Dense(300, name="b"), L.Dense(100, name="c")])


# Layers of code in other frameworks: their weights have the names and shapes of that code.
FOREIGN = {"JaxLayer", "FlaxLayer", "TFSMLayer"}
COMPOSED = {"MultiHeadAttention", "GroupedQueryAttention", "Bidirectional", "TimeDistributed", "StackedRNNCells"}


def weight_bearing():
    """Names of all layers of this Keras that add weights, or consist of layers that do."""
    names = set(COMPOSED)
    for c in vars(L).values():
        if not inspect.isclass(c) or not issubclass(c, L.Layer):
            continue
        own = c.__mro__[: c.__mro__.index(L.Layer)]
        if any("add_weight(" in inspect.getsource(b) for b in own if issubclass(b, L.Layer)):
            names.add(c.__name__)
    return names - FOREIGN


def make(folder):
    missing = weight_bearing()
    for name in FLAT:
        keras.utils.clear_session()
        m = globals()[name]()
        missing -= {base.__name__ for layer in m._flatten_layers() for base in type(layer).__mro__}
        for w in m.weights:
            if "float" in str(w.dtype):
                w.assign(np.asarray(rng.normal(0, 0.3, w.shape)) if "variance" not in w.name else rng.random(w.shape) + 0.5)
        m.save(f"{folder}/{name}.keras")
        m.save(f"{folder}/{name}.h5")
        m.save_weights(f"{folder}/{name}.weights.h5")
        if name in SHARDED:
            m.save_weights(f"{folder}/{name}.weights.json", max_shard_size=0.0004)
    assert not missing, f"layers with weights that no model here has: {missing}"


EINSUM = {"last_axis": (1,), "first_axis": (0,), "two_axes": (1, 2)}


def channel_axes(layer, w):
    """Axes of w's output channels by the shapes that Keras documents; None for what is not quantized."""
    name, kind, rank = w.path.split("/")[-1], type(layer).__name__, len(w.shape)
    if rank < 2 or "bias" in name or "int" in str(w.dtype):
        return None
    if kind in ("Conv1D", "Conv2D", "Conv3D", "Dense"):
        return (rank - 1,)  # (..., in / groups, filters), (in, units)
    if kind.endswith("Transpose"):
        return (rank - 2,)  # (..., filters, in)
    if kind.startswith("Depthwise") or name == "depthwise_kernel":
        return (rank - 2, rank - 1)  # (..., in, multiplier)
    if name == "pointwise_kernel":
        return (rank - 1,)
    if name == "reverse_embeddings":
        return (1,)  # (features, tokens)
    if kind.endswith("Embedding"):
        return (0,)  # (tokens, features)
    if kind.endswith("Cell"):
        return (rank - 1,)  # (in, gates * units), (units, gates * units)
    if kind == "EinsumDense":
        if layer.name in EINSUM:
            return EINSUM[layer.name]
        # query, key, value: (in, heads, features); attention_output: (heads, features, out)
        return (2,) if layer.name == "attention_output" else (1, 2)
    return None


def int4(w, axes):
    w = np.asarray(w, "float32")
    summed = tuple(a for a in range(w.ndim) if a not in axes)
    amax = np.abs(w).max(axis=summed, keepdims=True)
    inverse = np.float32(7) / amax
    return np.clip(np.rint(w * inverse), -8, 7).astype("float32") * (amax / np.float32(7))


def compare(name, original, saved):
    changed = 0
    def own(m):
        return [(layer, w) for layer in m._flatten_layers() for w in layer._trainable_variables + layer._non_trainable_variables]
    for (layer, w), (_, v) in zip(own(original), own(saved), strict=True):
        if isinstance(layer, L.SpectralNormalization) and w.path.endswith("/kernel"):
            layer = layer.layer
        axes = channel_axes(layer, w)
        before, after = keras.ops.convert_to_numpy(w), keras.ops.convert_to_numpy(v)
        expected = before if axes is None else int4(before, axes).astype(before.dtype)
        assert before.dtype == after.dtype and np.array_equal(expected, after), (name, w.path, type(layer).__name__, axes)
        changed += axes is not None
    assert changed > 0, name
    print(name, changed)


def check(folder):
    for name in FLAT:
        original = keras.models.load_model(f"{folder}/{name}.keras")
        compare(f"{name}.keras", original, keras.models.load_model(f"{folder}/out/{name}.keras"))
        # Keras itself cannot load bfloat16 and operations from its legacy format.
        if name not in ("types", "attention"):
            compare(f"{name}.h5", original, keras.models.load_model(f"{folder}/out/{name}.h5"))
        kinds = ["weights.h5"] + ["weights.json"] * (name in SHARDED)
        for kind in kinds if name in ("conv", "wide", "types") else []:
            saved = keras.models.load_model(f"{folder}/{name}.keras", compile=False)
            saved.load_weights(f"{folder}/out/{name}.{kind}")
            compare(f"{name}.{kind}", original, saved)


{"make": make, "check": check}[sys.argv[1]](sys.argv[2])
