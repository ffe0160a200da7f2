"""A network of nested and shared models: do two pictures show the same digit?"""

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits

from common import Made, choose, fit, generator, pixels


def encoder() -> keras.Model:
    """A picture as 32 numbers; its convolutions are a model of their own inside it."""
    image = keras.Input((8, 8, 1), name="image")
    convolutions = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(24, 3, padding="same", activation="relu", name="conv1"),
            layers.Conv2D(32, 3, padding="same", activation="relu", name="conv2"),
            layers.MaxPooling2D(name="pool2"),
            layers.Conv2D(48, 3, padding="same", activation="relu", name="conv3"),
            layers.MaxPooling2D(name="pool3"),
        ],
        name="convolutions",
    )
    x = layers.Flatten(name="flatten")(convolutions(image))
    x = layers.Dense(64, activation="relu", name="hidden")(x)
    return keras.Model(image, layers.Dense(32, name="numbers")(x), name="encoder")


def build() -> keras.Model:
    left, right = keras.Input((8, 8, 1), name="left"), keras.Input((8, 8, 1), name="right")
    shared = encoder()
    apart = layers.Subtract(name="apart")([shared(left), shared(right)])
    x = layers.Multiply(name="squares")([apart, apart])
    x = layers.Dense(32, activation="relu", name="compare")(x)
    return keras.Model([left, right], layers.Dense(1, activation="sigmoid", name="same")(x), name="siamese")


def pairs(digits, labels, count: int, rng) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Half of the pairs show the same digit."""
    left = rng.integers(len(digits), size=count)
    same = rng.integers(2, size=count).astype(np.uint8)
    right = np.array([rng.choice(np.flatnonzero((labels == labels[i]) == bool(own))) for i, own in zip(left, same)])
    return {"left": digits[left], "right": digits[right]}, same


def make() -> Made:
    rng = generator(6)
    digits, labels = load_digits(return_X_y=True)
    order = rng.permutation(len(digits))
    digits, labels = pixels(digits[order].reshape(-1, 8, 8, 1)), labels[order]
    x, y = pairs(digits[:1300], labels[:1300], 10000, rng)
    test, answers = pairs(digits[1300:], labels[1300:], 2000, rng)
    model = build()
    scaled = {name: values / np.float32(255) for name, values in x.items()}
    fit(model, scaled, y, loss="binary_crossentropy", epochs=9)
    return Made(model, choose(x, np.arange(2048)), test, answers, "accuracy")
