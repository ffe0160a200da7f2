"""Trains a small network in the manner of MobileNetV2 on 10,000 images of CIFAR-10 and writes mobilenet.h5.

    python train.py --data cifar-10-batches-bin

Needs `pip install tensorflow-cpu keras numpy h5py`. --data is a folder of CIFAR-10's binary release; only
data_batch_1.bin (training) and test_batch.bin (accuracy, printed at the end) of it are read. Writes, beside this
script or to --out:

    mobilenet.h5    the network, float32, Keras' legacy whole-model HDF5, no optimizer state

Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, CVPR 2018.
"""

import argparse
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("OMP_NUM_THREADS", "2")

import keras
import numpy as np
import tensorflow as tf
from keras import layers

SEED = 20
PAD = 4
CUTOUT = 8

# Channels, stride of the first block, number of blocks. Every block expands its channels four times.
STAGES = [(24, 1, 2), (48, 2, 3), (72, 2, 2)]


def read_batch(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    """Images as float32 [n, 32, 32, 3], pixels / 255, and labels [n]."""
    records = np.fromfile(path, np.uint8)
    if records.size == 0 or records.size % 3073:
        raise SystemExit(f"{path} does not hold CIFAR-10 records of 3073 bytes")
    records = records.reshape(-1, 3073)
    x = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(x, np.float32) / np.float32(255), records[:, 0].astype(np.int32)


class Augmented(keras.utils.PyDataset):
    """Batches in a new order each epoch: flips, shifts by up to 4 pixels, and a square of 8 x 8 that is gray, DeVries
    and Taylor 2017; then two images mixed, Zhang et al. 2018, as long as `mix` is above 0."""

    def __init__(self, x: np.ndarray, y: np.ndarray, batch: int, mix: float):
        super().__init__()
        self.x = np.pad(x, ((0, 0), (PAD, PAD), (PAD, PAD), (0, 0)), mode="reflect")
        self.y = np.eye(10, dtype=np.float32)[y]
        self.batch = batch
        self.mix = mix
        self.random = np.random.default_rng(SEED)
        self.order = self.random.permutation(len(x))

    def __len__(self) -> int:
        return len(self.x) // self.batch

    def on_epoch_end(self) -> None:
        self.order = self.random.permutation(len(self.x))

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        rows = self.order[index * self.batch : (index + 1) * self.batch]
        out = np.empty((len(rows), 32, 32, 3), np.float32)
        shifts = self.random.integers(0, 2 * PAD + 1, (len(rows), 2))
        flips = self.random.random(len(rows)) < 0.5
        squares = self.random.integers(-CUTOUT // 2, 32 - CUTOUT // 2, (len(rows), 2))
        for i, row in enumerate(rows):
            top, left = shifts[i]
            image = self.x[row, top : top + 32, left : left + 32]
            out[i] = image[:, ::-1] if flips[i] else image
            y, x = squares[i]
            out[i, max(y, 0) : y + CUTOUT, max(x, 0) : x + CUTOUT] = 0.5
        labels = self.y[rows]
        if self.mix > 0:
            share = np.float32(self.random.beta(self.mix, self.mix))
            out = share * out + (1 - share) * out[::-1]
            labels = share * labels + (1 - share) * labels[::-1]
        return out, labels


def build() -> keras.Model:
    def norm(x, name):
        return layers.BatchNormalization(name=f"{name}_norm")(x)

    def relu6(x, name):
        return layers.ReLU(6.0, name=f"{name}_relu")(x)

    def pointwise(x, channels, name):
        return norm(layers.Conv2D(channels, 1, use_bias=False, name=name)(x), name)

    def depthwise(x, stride, name):
        x = layers.DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False, name=name)(x)
        return relu6(norm(x, name), name)

    inputs = keras.Input((32, 32, 3), name="pixels")
    x = layers.Conv2D(16, 3, padding="same", use_bias=False, name="stem")(inputs)
    x = relu6(norm(x, "stem"), "stem")
    x = depthwise(x, 2, "block0_depthwise")
    x = pointwise(x, 24, "block0_project")
    number = 1
    for channels, first_stride, count in STAGES:
        for i in range(count):
            name = f"block{number}"
            stride = first_stride if i == 0 else 1
            before = x
            x = relu6(pointwise(x, 4 * x.shape[-1], f"{name}_expand"), f"{name}_expand")
            x = depthwise(x, stride, f"{name}_depthwise")
            x = pointwise(x, channels, f"{name}_project")
            if before.shape == x.shape:
                x = layers.Add(name=f"{name}_add")([before, x])
            number += 1
    x = relu6(pointwise(x, 192, "head"), "head")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(0.1, name="dropout")(x)
    outputs = layers.Dense(10, activation="softmax", name="classes")(x)
    return keras.Model(inputs, outputs, name="mobilenet")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the MobileNetV2-like network of bitnibble's benchmarks.")
    parser.add_argument("--data", type=pathlib.Path, required=True, help="folder with CIFAR-10's binary release")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    parser.add_argument("--epochs", type=int, default=80)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--mix", type=float, default=0.2, help="parameter of mixup's beta distribution; 0: off")
    args = parser.parse_args()

    tf.config.threading.set_intra_op_parallelism_threads(2)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    keras.utils.set_random_seed(SEED)
    tf.config.experimental.enable_op_determinism()

    x_train, y_train = read_batch(args.data / "data_batch_1.bin")
    x_test, y_test = read_batch(args.data / "test_batch.bin")

    model = build()
    model.summary()
    batches = Augmented(x_train, y_train, args.batch, args.mix)
    steps = args.epochs * len(batches)
    warm = steps // 20
    optimizer = keras.optimizers.SGD(
        keras.optimizers.schedules.CosineDecay(0.0, steps - warm, warmup_target=0.15, warmup_steps=warm),
        momentum=0.9,
        nesterov=True,
        weight_decay=5e-4,
    )
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    model.compile(optimizer=optimizer, loss="categorical_crossentropy", metrics=["accuracy"])
    model.fit(batches, epochs=args.epochs, verbose=2)

    p = model.predict(x_test, batch_size=200, verbose=0)
    accuracy = np.mean(p.argmax(1) == y_test)
    loss = -np.mean(np.log(np.clip(p[np.arange(len(p)), y_test], 1e-7, 1 - 1e-7)))
    print(f"{len(x_test)} test images: accuracy {accuracy:.4f}, loss {loss:.4f}")

    args.out.mkdir(parents=True, exist_ok=True)
    model.save(args.out / "mobilenet.h5", include_optimizer=False)


if __name__ == "__main__":
    main()
