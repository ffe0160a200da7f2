"""Accuracy and loss of the demo network after rounding its kernels with NumPy, measured by Keras.

    python measure.py

An oracle that shares no code with bitnibble. The channel axis is the last one; tensors of rank 1 are kept.
"""

import gzip
import os
import pathlib

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


def binary(w: np.ndarray) -> np.ndarray:
    """mean(|w|) of the channel times the sign."""
    k = w.reshape(-1, w.shape[-1])
    scale = np.abs(k.astype(np.float64)).mean(0).astype(np.float32)
    return (signs(k) * scale).reshape(w.shape)


def int4(w: np.ndarray, group: int | None = None) -> np.ndarray:
    """scale = amax / 7, q = clamp(rne(w * (7 / amax)), -8, 7), per channel or per group rows of a channel."""
    k = w.reshape(-1, w.shape[-1])
    out = np.empty_like(k)
    step = group or len(k)
    for row in range(0, len(k), step):
        block = k[row : row + step]
        amax = np.abs(block).max(0)
        inverse = np.divide(np.float32(7), amax, out=np.zeros_like(amax), where=amax > 0)
        q = np.clip(np.rint(block * inverse), -8, 7).astype(np.float32)
        out[row : row + step] = q * (amax / np.float32(7))
    return out.reshape(w.shape)


def main() -> None:
    model = keras.models.load_model(HERE / "digits.h5", compile=False)
    x = (read_idx("test-images-idx3-ubyte.gz").astype(np.float32) / np.float32(255))[..., None]
    y = read_idx("test-labels-idx1-ubyte.gz").astype(np.int64)
    original = model.get_weights()
    rounded = sum(w.size for w in original if w.ndim >= 2)
    print(f"{len(x)} digits; {rounded} of {sum(w.size for w in original)} values lie in tensors of rank >= 2")

    rows = {
        "float32": lambda w: w,
        "int4, per channel": int4,
        "int4, per group of 32 rows": lambda w: int4(w, 32),
        "binary, mean abs per channel": binary,
        "kernels to +1 / -1": signs,
    }
    print("| weights | accuracy | correct | loss |\n|---|---|---|---|")
    for name, fit in rows.items():
        model.set_weights([fit(w) if w.ndim >= 2 else w for w in original])
        p = model.predict(x, batch_size=100, verbose=0)
        right = int((p.argmax(1) == y).sum())
        # loss = mean of -ln(p[label]), p clipped to [1e-7, 1 - 1e-7] as Keras does
        chosen = np.clip(p[np.arange(len(y)), y].astype(np.float64), 1e-7, 1 - 1e-7)
        print(f"| {name} | {right / len(y):.4f} | {right} | {-np.log(chosen).mean():.4f} |")


if __name__ == "__main__":
    main()
