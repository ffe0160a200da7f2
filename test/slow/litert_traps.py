"""What LiteRT computes wrongly, so that a file must not ask for it: prints JSON with its version and the relative errors.

usage: python litert_traps.py FOLDER

FOLDER holds a convolution, a depthwise one and a dense layer of one input, each with float weights (`NAME-float.tflite`) and with
codes that it takes as they are (`NAME.tflite`): of 2 bits for the convolution, of 4 for the others.
"""
import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

folder = Path(sys.argv[1])


def run(name, kind):
    path = str(folder / f"{name}.tflite")
    own = Interpreter(model_path=path, num_threads=1, experimental_op_resolver_type=kind)
    own.allocate_tensors()
    (port,) = own.get_input_details()
    own.set_tensor(port["index"], np.random.default_rng(1).normal(size=port["shape"]).astype("float32"))
    own.invoke()
    return own.get_tensor(own.get_output_details()[0]["index"]).astype("float64")


def error(name, kind=OpResolverType.AUTO):
    try:
        got = run(name, kind)
    except Exception as fault:
        return f"{type(fault).__name__}: {str(fault)[:200]}"
    want = run(f"{name}-float", kind)
    return float(np.abs(got - want).max() / np.abs(want).max()) if np.isfinite(got).all() else "not finite"


print(
    json.dumps(
        {
            "litert": version("ai-edge-litert"),
            "convolution": error("convolution"),
            "depthwise": error("depthwise"),
            "dense": error("dense"),
            "dense, plain": error("dense", OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES),
        }
    )
)
