"""Runs .keras files in Keras on samples of examples/kinds and compares the outputs with others.

usage: kinds_run.py CASES.json

CASES: a list of {"name", "model": file, "npz": the data, "samples": how many of the test part, "outputs": float32 file}. Prints a
list of {"name", "share": largest difference over the largest output}.
"""
import json
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
import keras
import numpy as np


def taken(values, dtype):
    """As the network takes them: bytes that are no indices are pixels."""
    return values / np.float32(255) if values.dtype == np.uint8 and "int" not in dtype else values.astype(dtype)


answers = []
for case in json.load(open(sys.argv[1])):
    model = keras.saving.load_model(case["model"], compile=False)
    data = np.load(case["npz"])
    x = {own.name: taken(data[f"{own.name}_test"][: case["samples"]], own.dtype) for own in model.inputs}
    values = model.predict(x if len(x) > 1 else next(iter(x.values())), verbose=0).astype("float64")
    ours = np.fromfile(case["outputs"], "float32").reshape(values.shape)
    answers.append({"name": case["name"], "share": float(np.abs(values - ours).max() / np.abs(values).max())})
print(json.dumps(answers))
