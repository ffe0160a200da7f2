"""What LiteRT computes wrongly, so that a file must not ask for it: prints JSON with its version and the relative errors.

usage: python litert_traps.py FOLDER

FOLDER holds `float.tflite`, a convolution of one input with float weights, and the same with weights of 2 bits that it takes as
they are (`int2.tflite`) and of 4 bits likewise for a depthwise one (`depthwise.tflite`, `depthwise-float.tflite`).
"""
import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

folder = Path(sys.argv[1])


def run(name):
    own = Interpreter(model_path=str(folder / f"{name}.tflite"), num_threads=1)
    own.allocate_tensors()
    (port,) = own.get_input_details()
    own.set_tensor(port["index"], np.random.default_rng(1).normal(size=port["shape"]).astype("float32"))
    own.invoke()
    return own.get_tensor(own.get_output_details()[0]["index"]).astype("float64")


def error(name, like):
    try:
        got = run(name)
    except Exception as fault:
        return f"{type(fault).__name__}: {str(fault)[:200]}"
    want = run(like)
    return float(np.abs(got - want).max() / np.abs(want).max()) if np.isfinite(got).all() else "not finite"


print(
    json.dumps(
        {
            "litert": version("ai-edge-litert"),
            "int2": error("int2", "float"),
            "depthwise": error("depthwise", "depthwise-float"),
        }
    )
)
