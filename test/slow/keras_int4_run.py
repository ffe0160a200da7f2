"""Loads .keras files with int4 in Keras and compares them with float models of the same weights.

usage: keras_int4_run.py CASES.json

CASES: a list of {"name", "int4": file, "float": file, "inputs": npz or null, "ids": number of int4 weights}. Prints a list of
{"name", "error": largest difference over the largest output, "packed": number of int8 kernels, "quantized": layers},
or {"name", "fault"}.
"""
import json
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
import keras
import numpy as np


def leaves(layer):
    yield layer
    for inner in layer._flatten_layers(include_self=False, recursive=False):
        yield from leaves(inner)


def inputs_of(case, model):
    if case["inputs"]:
        data = np.load(case["inputs"])
        return [data[f"x{i}"] for i in range(len(model.inputs))]
    rng = np.random.default_rng(4)
    shapes = [[4] + [n or 6 for n in x.shape[1:]] for x in model.inputs]
    return [
        rng.integers(0, 11, shape) if "int" in str(x.dtype) else rng.normal(0, 1, shape).astype("float32")
        for shape, x in zip(shapes, model.inputs)
    ]


def outputs(model, x):
    values = keras.tree.flatten(model.predict(x if len(x) > 1 else x[0], verbose=0))
    return [np.asarray(value).astype("float64") for value in values]


def compare(case):
    model, right = keras.saving.load_model(case["int4"]), keras.saving.load_model(case["float"], compile=False)
    x = inputs_of(case, model)
    pairs = list(zip(outputs(model, x), outputs(right, x)))
    found = {id(layer): layer for layer in leaves(model)}.values()
    quantized = [layer for layer in found if layer.quantization_mode == "int4"]
    packed = {
        id(variable)
        for layer in quantized
        for variable in layer.variables
        if variable.dtype == "int8" and variable.name in ("kernel", "embeddings")
    }
    return {
        "error": max(np.abs(a - b).max() / max(np.abs(b).max(), 1e-30) for a, b in pairs),
        "packed": len(packed),
        "quantized": sorted(layer.name for layer in quantized),
    }


answers = []
for case in json.load(open(sys.argv[1])):
    try:
        answers.append({"name": case["name"], **compare(case)})
    except Exception as error:
        answers.append({"name": case["name"], "fault": f"{type(error).__name__}: {error}"[:2000]})
print(json.dumps(answers))
