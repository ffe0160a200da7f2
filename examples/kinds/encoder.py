"""A transformer encoder: from which package of Python's standard library do these words come?"""

import pathlib
import re
import sysconfig
from collections import Counter

import keras
import numpy as np
from keras import layers

from common import Made, fit, generator

PACKAGES = ("asyncio", "email", "http", "idlelib", "multiprocessing", "tkinter", "unittest", "xml")
WORDS = 900
LENGTH = 48
PADDING, UNKNOWN = 0, 1


def pieces_of(package: str) -> list[list[str]]:
    """Words and signs of a package, 24 to 48 to a piece; names of the package itself are left out."""
    folder = pathlib.Path(sysconfig.get_path("stdlib")) / package
    rng = np.random.default_rng(len(package))
    pieces = []
    for path in sorted(folder.rglob("*.py")):
        if any("test" in part for part in path.relative_to(folder).parts):
            continue
        words = re.findall(r"[a-z]+|[^\sa-z_]", path.read_text(encoding="utf-8", errors="ignore").lower())
        words = [word for word in words if word not in (package, "tk", "idle")]
        at = 0
        while at + LENGTH <= len(words):
            size = int(rng.integers(LENGTH // 2, LENGTH + 1))
            pieces.append(words[at : at + size])
            at += size
    return pieces


def block(x, number: int):
    """Attention and two dense layers, each normalized first and added to what came in."""
    normal = layers.LayerNormalization(name=f"norm{number}a")(x)
    own = layers.MultiHeadAttention(4, 12, dropout=0.1, name=f"attention{number}")(normal, normal)
    x = layers.Add(name=f"add{number}a")([x, own])
    normal = layers.LayerNormalization(name=f"norm{number}b")(x)
    wide = layers.Dense(96, activation="gelu", name=f"wide{number}")(normal)
    return layers.Add(name=f"add{number}b")([x, layers.Dense(48, name=f"narrow{number}")(wide)])


def build() -> keras.Model:
    words = keras.Input((LENGTH,), dtype="int32", name="words")
    x = layers.Embedding(WORDS, 48, mask_zero=True, name="embedding")(words)
    # Words next to each other: the order that attention does not see.
    x = layers.Conv1D(48, 3, padding="same", activation="relu", name="neighbours")(x)
    x = layers.Dropout(0.3, name="dropout")(x)
    x = block(block(x, 1), 2)
    x = layers.LayerNormalization(name="norm")(x)
    x = layers.GlobalAveragePooling1D(name="mean")(x)
    x = layers.Dropout(0.3, name="dropout2")(x)
    return keras.Model(words, layers.Dense(len(PACKAGES), activation="softmax", name="package")(x), name="encoder")


def make() -> Made:
    rng = generator(1)
    found = [(piece, label, i % 5 == 0) for label, name in enumerate(PACKAGES) for i, piece in enumerate(pieces_of(name))]
    counts = Counter(word for piece, _, held in found if not held for word in piece)
    number = {word: i + 2 for i, (word, _) in enumerate(counts.most_common(WORDS - 2))}
    x = np.full((len(found), LENGTH), PADDING, np.uint16)
    for row, (piece, _, _) in zip(x, found):
        row[: len(piece)] = [number.get(word, UNKNOWN) for word in piece]
    y = np.array([label for _, label, _ in found], np.uint8)
    held = np.array([own for _, _, own in found])
    train, test = rng.permutation(np.flatnonzero(~held))[:14000], rng.permutation(np.flatnonzero(held))
    print(len(train), len(test), np.bincount(y[test]) / len(test))
    model = build()
    fit(model, x[train], y[train], loss="sparse_categorical_crossentropy", epochs=8)
    test = test[:2000]
    return Made(model, {"words": x[train[:2048]]}, {"words": x[test]}, y[test], "accuracy")
