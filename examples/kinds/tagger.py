"""A BiLSTM tagger: of which kind of token is each character of a piece of Python?"""

import io
import keyword
import pathlib
import sysconfig
import tokenize

import keras
import numpy as np
from keras import layers

from common import Made, fit, generator

LENGTH = 64
KINDS = ("space", "name", "keyword", "number", "string", "comment", "sign")
PACKAGES = ("asyncio", "collections", "concurrent", "email", "http", "importlib", "json", "logging", "unittest", "urllib")


def tagged(text: str) -> tuple[bytes, np.ndarray] | None:
    """A source in ASCII and the kind of each of its characters, by Python's own tokenizer."""
    if not text.isascii():
        return None
    starts = np.cumsum([0] + [len(line) for line in text.splitlines(keepends=True)])
    kinds = np.zeros(len(text), np.uint8)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME:
            kind = "keyword" if keyword.iskeyword(token.string) else "name"
        else:
            kind = {tokenize.NUMBER: "number", tokenize.STRING: "string", tokenize.COMMENT: "comment", tokenize.OP: "sign"}.get(
                token.type
            )
        if kind:
            (row, column), (last, end) = token.start, token.end
            kinds[starts[row - 1] + column : starts[last - 1] + end] = KINDS.index(kind)
    return text.encode("ascii"), kinds


def build() -> keras.Model:
    characters = keras.Input((LENGTH,), dtype="int32", name="characters")
    x = layers.Embedding(128, 24, name="embedding")(characters)
    x = layers.Bidirectional(layers.LSTM(48, return_sequences=True), name="lstm1")(x)
    x = layers.Dropout(0.2, name="dropout")(x)
    x = layers.Bidirectional(layers.LSTM(32, return_sequences=True), name="lstm2")(x)
    return keras.Model(characters, layers.Dense(len(KINDS), activation="softmax", name="kind")(x), name="tagger")


def make() -> Made:
    rng = generator(2)
    library = pathlib.Path(sysconfig.get_path("stdlib"))
    paths = sorted(path for name in PACKAGES for path in (library / name).rglob("*.py"))
    x, y, held = [], [], []
    for number, path in enumerate(paths):
        own = tagged(path.read_text(encoding="utf-8", errors="replace"))
        if own is None:
            continue
        text, kinds = own
        for at in range(0, len(text) - LENGTH, LENGTH):
            x.append(np.frombuffer(text[at : at + LENGTH], np.uint8))
            y.append(kinds[at : at + LENGTH])
            held.append(number % 5 == 0)
    x, y, held = np.array(x), np.array(y), np.array(held)
    train, test = rng.permutation(np.flatnonzero(~held))[:12000], rng.permutation(np.flatnonzero(held))[:1000]
    print(len(train), len(test), np.bincount(y[test].ravel()) / y[test].size)
    model = build()
    fit(model, x[train], y[train], loss="sparse_categorical_crossentropy", epochs=8, rate=6e-3, batch=128)
    return Made(model, {"characters": x[train[:1024]]}, {"characters": x[test]}, y[test], "accuracy")
