"""Runs LiteRT models in LiteRT.

usage: python litert_run.py CASES.json

CASES is a list of {"name", "model", "inputs", "expected", "letter"}: a model, a .npz with its inputs x0, x1, ..., and where the
right outputs are: a .npz with LETTER0, LETTER1, ..., or the path of another model that has to give the same ("like"). Samples
are taken as many at once as the model takes. "plain": without the delegate that LiteRT computes with by default; "classes":
how often the largest output stands where it should.
Prints a line of JSON for each: the largest error of all outputs, relative to the larger of the value and a hundredth of the
largest, or what is wrong.
"""
import json
import sys
from collections import Counter

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType


def interpreter(path, plain):
    kind = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES if plain else OpResolverType.AUTO
    own = Interpreter(model_path=path, num_threads=1, experimental_op_resolver_type=kind)
    own.allocate_tensors()
    return own


def run(path, data, plain):
    own = interpreter(path, plain)
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


def largest(got, want):
    if got.shape != want.shape:
        raise ValueError(f"shape {got.shape} instead of {want.shape}")
    got, want = got.astype("float64"), want.astype("float64")
    if got.size == 0:
        return 0.0
    floor = max(np.abs(want).max() / 100, 1e-30)
    error = np.abs(got - want) / np.maximum(np.abs(want), floor)
    return float("inf") if np.isnan(error).any() else float(error.max())


def operations(path):
    model = schema.ModelT.InitFromPackedBuf(open(path, "rb").read(), 0)
    codes = {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    return Counter(codes[model.operatorCodes[op.opcodeIndex].builtinCode] for op in model.subgraphs[0].operators)


for case in json.load(open(sys.argv[1])):
    answer = {"name": case["name"]}
    try:
        answer["operations"] = operations(case["model"])
        data = np.load(case["inputs"])
        plain = case.get("plain", False)
        got = run(case["model"], data, plain)
        if "like" in case:
            want = run(case["like"], data, plain)
        else:
            source = np.load(case["expected"])
            want = [source[f"{case['letter']}{i}"] for i in range(len(got))]
        if case.get("classes"):
            answer["same"] = float((got[0].argmax(-1) == want[0].argmax(-1)).mean())
        answer["share"] = max(float(np.abs(a.astype("float64") - b).max() / max(np.abs(b).max(), 1e-30)) for a, b in zip(got, want))
        answer["error"] = max(largest(a, b) for a, b in zip(got, want))
    except Exception as error:
        answer["problem"] = f"{type(error).__name__}: {str(error)[:600]}"
    print(json.dumps(answer), flush=True)
