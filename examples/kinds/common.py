"""What the scripts of the networks share: a seed, a split, the form in which they hand on what they made."""

import dataclasses

import keras
import numpy as np

SEED = 14


@dataclasses.dataclass
class Made:
    """A network and its data.

    calibration, test: arrays by the name of the network's input, samples along the first axis
    answers: of the test part: classes, classes of steps, or numbers
    metric: what `train.py` prints: accuracy, r2 or psnr
    """

    model: keras.Model
    calibration: dict[str, np.ndarray]
    test: dict[str, np.ndarray]
    answers: np.ndarray
    metric: str


def generator(own: int) -> np.random.Generator:
    """Random numbers of a script; also seeds Keras."""
    keras.utils.set_random_seed(SEED + own)
    return np.random.default_rng(SEED + own)


def fit(model, x, y, *, loss, epochs, rate=2e-3, batch=64, weight=None):
    """Trains with Adam along half a cosine."""
    steps = epochs * -(-len(y) // batch)
    schedule = keras.optimizers.schedules.CosineDecay(rate, steps)
    model.compile(optimizer=keras.optimizers.AdamW(schedule, weight_decay=weight or 1e-4), loss=loss)
    model.fit(x, y, batch_size=batch, epochs=epochs, verbose=2)


def choose(arrays: dict[str, np.ndarray], places: np.ndarray) -> dict[str, np.ndarray]:
    return {name: values[places] for name, values in arrays.items()}


def pixels(sixteenths: np.ndarray) -> np.ndarray:
    """scikit-learn's digits have whole numbers from 0 to 16: as bytes from 0 to 255."""
    return (sixteenths * 255 // 16).astype(np.uint8)
