"""A network of two inputs: a picture of three digits, and which of five questions about it is asked."""

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits

from common import Made, choose, fit, generator, pixels

QUESTIONS = ("left", "middle", "right", "largest", "smallest")


def build() -> keras.Model:
    image = keras.Input((8, 24, 1), name="image")
    question = keras.Input((1,), dtype="int32", name="question")
    x = layers.Conv2D(16, 3, padding="same", activation="relu", name="conv1")(image)
    x = layers.Conv2D(32, 3, strides=2, padding="same", use_bias=False, name="conv2")(x)
    x = layers.BatchNormalization(name="norm2")(x)
    x = layers.Activation("relu", name="relu2")(x)
    x = layers.Conv2D(48, 3, padding="same", activation="relu", name="conv3")(x)
    x = layers.MaxPooling2D(name="pool3")(x)
    x = layers.Dense(96, activation="relu", name="seen")(layers.Flatten(name="picture")(x))
    # Signs and sizes: the usual 0.05 is too small for factors.
    factors = keras.initializers.RandomNormal(0, 1, seed=4)
    asked = layers.Embedding(len(QUESTIONS), 96, embeddings_initializer=factors, name="embedding")(question)
    # The question says what of the picture counts.
    x = layers.Multiply(name="both")([x, layers.Flatten(name="asked")(asked)])
    x = layers.Dense(96, activation="relu", name="hidden")(x)
    return keras.Model([image, question], layers.Dense(10, activation="softmax", name="answer")(x), name="question")


def asked(digits, labels, count: int, rng) -> tuple[dict[str, np.ndarray], np.ndarray]:
    chosen = rng.integers(len(digits), size=(count, 3))
    image = digits[chosen].transpose(0, 2, 1, 3).reshape(count, 8, 24, 1)
    question = rng.integers(len(QUESTIONS), size=(count, 1)).astype(np.uint8)
    three = labels[chosen]
    answers = np.concatenate([three, three.max(1, keepdims=True), three.min(1, keepdims=True)], 1)
    return {"image": image, "question": question}, np.take_along_axis(answers, question, 1)[:, 0].astype(np.uint8)


def make() -> Made:
    rng = generator(4)
    digits, labels = load_digits(return_X_y=True)
    order = rng.permutation(len(digits))
    digits, labels = pixels(digits[order].reshape(-1, 8, 8)), labels[order]
    x, y = asked(digits[:1300], labels[:1300], 20000, rng)
    test, answers = asked(digits[1300:], labels[1300:], 2000, rng)
    model = build()
    fit(model, {**x, "image": x["image"] / np.float32(255)}, y, loss="sparse_categorical_crossentropy", epochs=8, rate=3e-3)
    return Made(model, choose(x, np.arange(2048)), test, answers, "accuracy")
