"""Trains the networks of this example and writes NAME.keras and NAME.npz for each.

    python train.py            all seven, a few minutes
    python train.py table      those that are named

Needs `pip install -r requirements.txt`.
"""

import argparse
import importlib
import os
import pathlib
import time
import zipfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import numpy as np

KINDS = ("encoder", "tagger", "forecaster", "question", "denoiser", "siamese", "table")
HERE = pathlib.Path(__file__).resolve().parent


def scaled(values: np.ndarray, dtype: str) -> np.ndarray:
    """As the network takes them: bytes that are no indices are pixels."""
    return values / np.float32(255) if values.dtype == np.uint8 and "int" not in dtype else values.astype(dtype)


def score(made) -> float:
    x = {own.name: scaled(made.test[own.name], own.dtype) for own in made.model.inputs}
    outputs = np.asarray(made.model.predict(x if len(x) > 1 else next(iter(x.values())), verbose=0), np.float64)
    y = made.answers.astype(np.float64)
    if made.metric == "accuracy":
        if outputs.shape[-1] == 1:
            return float(np.mean((outputs[:, 0] > 0.5) == y))
        return float(np.mean(outputs.argmax(-1) == y))
    squared = (outputs.reshape(y.shape) - y) ** 2
    return float(10 * np.log10(1 / squared.mean()) if made.metric == "psnr" else 1 - squared.mean() / y.var())


def compress(path: pathlib.Path) -> None:
    """Keras stores the weights with a third of the file empty."""
    with zipfile.ZipFile(path) as archive:
        members = [(member.filename, archive.read(member)) for member in archive.infolist()]
    draft = path.with_suffix(".draft")
    with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED, 9)
    draft.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the networks of other kinds.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(KINDS)}; default: all")
    parser.add_argument("--out", type=pathlib.Path, default=HERE)
    args = parser.parse_args()
    unknown = sorted(set(args.names) - set(KINDS))
    if unknown:
        parser.error(f"no network is called {', '.join(unknown)}")
    for name in args.names or KINDS:
        start = time.time()
        made = importlib.import_module(name).make()
        made.model.summary()
        print(f"{name}: {made.metric} {score(made):.4f}, {made.model.count_params()} weights, {time.time() - start:.0f} s")
        # The loss is kept, which tells numbers from classes, but not the optimizer, which has twice as many numbers as the network.
        made.model.compile(optimizer="sgd", loss=made.model.loss)
        made.model.save(args.out / f"{name}.keras")
        compress(args.out / f"{name}.keras")
        arrays = {f"{key}_train": values for key, values in made.calibration.items()}
        arrays |= {f"{key}_test": values for key, values in made.test.items()}
        np.savez_compressed(args.out / f"{name}.npz", **arrays, y_test=made.answers)


if __name__ == "__main__":
    main()
