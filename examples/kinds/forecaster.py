"""A GRU forecaster: carbon dioxide in the air of Mauna Loa, the 13 weeks behind 78 weeks."""

import keras
import numpy as np
from keras import layers

from common import Made, fit, generator

WEEKS = 78
AHEAD = 13
TEST = 450


def build() -> keras.Model:
    weeks = keras.Input((WEEKS, 1), name="weeks")
    x = layers.GRU(64, return_sequences=True, name="gru1")(weeks)
    x = layers.GRU(64, name="gru2")(x)
    return keras.Model(weeks, layers.Dense(AHEAD, name="ahead")(x), name="forecaster")


def make() -> Made:
    import statsmodels.api as sm

    generator(3)
    series = sm.datasets.co2.load_pandas().data["co2"].interpolate().to_numpy()
    windows = np.lib.stride_tricks.sliding_window_view(series, WEEKS + AHEAD)
    # Parts per million above or below the last week that is known, in units of four.
    windows = ((windows - windows[:, WEEKS - 1 : WEEKS]) / 4).astype(np.float16)
    x, y = windows[:, :WEEKS, None], windows[:, WEEKS:]
    # The last years are the test; windows that reach into them are left out.
    train = np.arange(len(x) - TEST - WEEKS - AHEAD)
    test = np.arange(len(x) - TEST, len(x))
    model = build()
    fit(model, x[train].astype("float32"), y[train].astype("float32"), loss="mse", epochs=30, rate=3e-3)
    return Made(model, {"weeks": x[train[::2]]}, {"weeks": x[test]}, y[test], "r2")
