"""An MLP for a table: Friedman's first regression problem, of whose ten columns five say nothing."""

import keras
import numpy as np
from keras import layers
from sklearn.datasets import make_friedman1

from common import Made, fit, generator


def build() -> keras.Model:
    columns = keras.Input((10,), name="columns")
    x = layers.Dense(128, activation="relu", name="hidden1")(columns)
    x = layers.Dense(128, activation="relu", name="hidden2")(x)
    x = layers.Dense(128, activation="relu", name="hidden3")(x)
    return keras.Model(columns, layers.Dense(1, name="value")(x), name="table")


def make() -> Made:
    generator(7)
    x, y = make_friedman1(14000, noise=0.5, random_state=7)
    x = x.astype(np.float16)
    # A mean of 0 and a deviation of 1, or thereabouts.
    y = ((y - 14.4) / 5).astype(np.float32)
    train, test = slice(0, 12000), slice(12000, 14000)
    model = build()
    fit(model, x[train].astype("float32"), y[train], loss="mse", epochs=40)
    return Made(model, {"columns": x[:2048]}, {"columns": x[test]}, y[test], "r2")
