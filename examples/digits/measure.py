"""Accuracy and loss of the demo network after rounding its kernels with NumPy, measured by Keras.

    python measure.py

An oracle that shares no code with bitnibble. A kernel is seen as a matrix [K, N], its last axis being N; a
block, which has one scale, is the whole matrix, a column, or some rows of a column. Tensors of rank 1 are kept
in all rows but one.
"""

import gzip
import os
import pathlib
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np

HERE = pathlib.Path(__file__).parent


def read_idx(name: str) -> np.ndarray:
    data = gzip.decompress((HERE / name).read_bytes())
    rank = data[3]
    shape = np.frombuffer(data, ">u4", rank, 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape)


def signs(w: np.ndarray) -> np.ndarray:
    """+1 for w > 0, else -1."""
    return np.where(w > 0, np.float32(1), np.float32(-1))


def binary(blocks: np.ndarray) -> np.ndarray:
    """Sign times mean(|w|) of each column."""
    return signs(blocks) * np.abs(blocks.astype(np.float64)).mean(0).astype(np.float32)


def int4(blocks: np.ndarray) -> np.ndarray:
    """q * scale for each column: scale = amax / 7, q = clamp(rne(w * (7 / amax)), -8, 7)."""
    amax = np.abs(blocks).max(0)
    inverse = np.divide(np.float32(7), amax, out=np.zeros_like(amax), where=amax > 0)
    q = np.clip(np.rint(blocks * inverse), -8, 7).astype(np.float32)
    return q * (amax / np.float32(7))


Fit = Callable[[np.ndarray], np.ndarray]


def per_tensor(fit: Fit) -> Fit:
    return lambda w: fit(w.reshape(-1, 1)).reshape(w.shape)


def per_channel(fit: Fit, rows: int | None = None) -> Fit:
    """Each column of [K, N] by itself, or each run of so many rows of it."""

    def apply(w: np.ndarray) -> np.ndarray:
        k = w.reshape(-1, w.shape[-1])
        step = rows or len(k)
        return np.concatenate([fit(k[at : at + step]) for at in range(0, len(k), step)]).reshape(w.shape)

    return apply


def main() -> None:
    model = keras.models.load_model(HERE / "digits.h5", compile=False)
    x = (read_idx("test-images-idx3-ubyte.gz").astype(np.float32) / np.float32(255))[..., None]
    y = read_idx("test-labels-idx1-ubyte.gz").astype(np.int64)
    original = model.get_weights()
    rounded = sum(w.size for w in original if w.ndim >= 2)
    print(f"{len(x)} digits; {rounded} of {sum(w.size for w in original)} values lie in tensors of rank >= 2")

    every_array = "every array to +1 / -1, biases too"
    rows = {
        "float32": lambda w: w,
        every_array: signs,
        "kernels to +1 / -1": signs,
        "binary, scale per tensor": per_tensor(binary),
        "binary, scale per channel": per_channel(binary),
        "binary, scale per group of 128 rows": per_channel(binary, 128),
        "int4, scale per tensor": per_tensor(int4),
        "int4, scale per channel": per_channel(int4),
        "int4, scale per group of 32 rows": per_channel(int4, 32),
    }
    print("| weights | accuracy | correct | loss |\n|---|---|---|---|")
    for name, fit in rows.items():
        model.set_weights([fit(w) if w.ndim >= 2 or name == every_array else w for w in original])
        p = model.predict(x, batch_size=100, verbose=0)
        right = int((p.argmax(1) == y).sum())
        # loss = mean of -ln(p[label]), p clipped to [1e-7, 1 - 1e-7] as Keras does
        chosen = np.clip(p[np.arange(len(y)), y].astype(np.float64), 1e-7, 1 - 1e-7)
        print(f"| {name} | {right / len(y):.4f} | {right} | {-np.log(chosen).mean():.4f} |")


if __name__ == "__main__":
    main()
