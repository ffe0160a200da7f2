"""Trains the network of this example on lines of this repository, in less than a minute:

    python train.py

It takes bytes of a line as tokens and tells whether the line is TypeScript, Python or prose. Files are split before lines: the
lines of `lines.npz`, which nothing is trained on, come from other files. The lines are those that the repository has when the
script runs, so a later run gives another network than the one that lies here.
"""

import pathlib

import keras
import numpy as np

LENGTH = 64
CLASSES = ("TypeScript", "Python", "prose")
ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent


def lines_of(*patterns):
    """Lines with something to see, by file: (line, held out) pairs, none twice."""
    files = sorted(path for pattern in patterns for path in ROOT.glob(pattern) if "node_modules" not in path.parts)
    found = {}
    for number, path in enumerate(files):
        for line in path.read_text(encoding="utf-8").splitlines():
            text = line.strip()
            if len(text) >= 12 and text.isascii() and not text.startswith(("#", "//", "*", "/*", "|", "-", "`", "!")):
                found.setdefault(text, number % 5 == 0)
    return list(found.items())


def encode(text):
    """The first 64 bytes, zeros behind them."""
    codes = list(text.encode("ascii"))[:LENGTH]
    return codes + [0] * (LENGTH - len(codes))


def arrays(pairs, held, most, rng):
    lines = [text for text, own in pairs if own == held]
    rng.shuffle(lines)
    return [encode(text) for text in lines[:most]]


def main():
    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(1)
    sources = (
        lines_of("src/**/*.ts", "scripts/**/*.ts"),
        lines_of("**/*.py"),
        lines_of("docs/*.md", "*.md"),
    )
    train, test = [], []
    for label, pairs in enumerate(sources):
        train += [(x, label) for x in arrays(pairs, False, 1600, rng)]
        test += [(x, label) for x in arrays(pairs, True, 160, rng)]
    x = np.array([x for x, _ in train], "uint8")
    y = np.array([y for _, y in train], "uint8")
    print({name: int((y == i).sum()) for i, name in enumerate(CLASSES)})

    model = keras.Sequential(
        [
            keras.layers.Input((LENGTH,), dtype="int32", name="bytes"),
            keras.layers.Embedding(128, 16, name="embedding"),
            keras.layers.Conv1D(48, 5, padding="same", activation="relu", name="conv"),
            keras.layers.Bidirectional(keras.layers.GRU(24), name="gru"),
            keras.layers.Dropout(0.3, name="dropout"),
            keras.layers.Dense(len(CLASSES), activation="softmax", name="scores"),
        ],
        name="lines",
    )
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, batch_size=64, epochs=8, verbose=2)
    x_test = np.array([x for x, _ in test], "uint8")
    y_test = np.array([y for _, y in test], "uint8")
    print("held out:", model.evaluate(x_test, y_test, verbose=0))
    model.save(HERE / "lines.h5", include_optimizer=False)
    np.savez_compressed(HERE / "lines.npz", x_test=x_test, y_test=y_test, x_train=x[rng.permutation(len(x))[:512]])


if __name__ == "__main__":
    main()
