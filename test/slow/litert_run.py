"""Runs LiteRT models in LiteRT.

usage: python litert_run.py CASES.json

CASES.json is that of exported.py. Samples are taken as many at once as the model takes; "plain": without the delegate that LiteRT
computes with by default.
"""
from collections import Counter

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from exported import answer_all


def interpreter(path, plain):
    kind = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES if plain else OpResolverType.AUTO
    own = Interpreter(model_path=path, num_threads=1, experimental_op_resolver_type=kind)
    own.allocate_tensors()
    return own


def run(path, data, case):
    own = interpreter(path, case.get("plain", False))
    model = schema.ModelT.InitFromPackedBuf(open(path, "rb").read(), 0)
    (signature,) = model.signatureDefs
    graph = model.subgraphs[signature.subgraphIndex]
    # Inputs in the order in which the model has them; names are those of the signature.
    order = {index: at for at, index in enumerate(graph.inputs)}
    inputs = sorted(((order[m.tensorIndex], m.name.decode()) for m in signature.inputs))
    outputs = sorted(((list(graph.outputs).index(m.tensorIndex), m.name.decode()) for m in signature.outputs))
    runner = own.get_signature_runner("serving_default")
    details = runner.get_input_details()
    samples = data["x0"].shape[0]
    batch = int(details[inputs[0][1]]["shape"][0])
    parts = []
    for start in range(0, samples, batch):
        feeds = {
            name: data[f"x{at}"][start : start + batch].astype(details[name]["dtype"]) for at, name in inputs
        }
        got = runner(**feeds)
        parts.append([np.array(got[name]) for _, name in outputs])
    return [np.concatenate(own) for own in zip(*parts)]


def operations(path):
    model = schema.ModelT.InitFromPackedBuf(open(path, "rb").read(), 0)
    codes = {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    return Counter(codes[model.operatorCodes[op.opcodeIndex].builtinCode] for op in model.subgraphs[0].operators)


answer_all(lambda path: {"operations": operations(path)}, run)
