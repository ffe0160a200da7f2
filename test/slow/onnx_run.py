"""Checks ONNX models and runs them in ONNX Runtime.

usage: python onnx_run.py CASES.json

CASES is a list of {"name", "model", "inputs", "expected", "letter"}: a model, a .npz with its inputs x0, x1, ..., and where the
right outputs are: a .npz with LETTER0, LETTER1, ..., or the path of another model that has to give the same ("like").
Prints a line of JSON for each: the largest error of all outputs, relative to the larger of the value and a hundredth of the
largest, or what is wrong.
"""
import json
import sys

import numpy as np
import onnx
import onnxruntime as ort

ort.set_default_logger_severity(3)


def session(path):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


TYPES = {"tensor(float)": "float32", "tensor(int32)": "int32", "tensor(bool)": "bool"}


def run(path, data):
    own = session(path)
    feeds = {port.name: data[f"x{i}"].astype(TYPES[port.type]) for i, port in enumerate(own.get_inputs())}
    return own.run(None, feeds), [port.shape for port in own.get_outputs()]


def largest(got, want):
    if got.shape != want.shape:
        raise ValueError(f"shape {got.shape} instead of {want.shape}")
    got, want = got.astype("float64"), want.astype("float64")
    if got.size == 0:
        return 0.0
    floor = max(np.abs(want).max() / 100, 1e-30)
    error = np.abs(got - want) / np.maximum(np.abs(want), floor)
    return float("inf") if np.isnan(error).any() else float(error.max())


def check(path):
    onnx.checker.check_model(path, full_check=True)
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.graph.value_info[:]
    own = {v.name: v.type for v in model.graph.value_info}
    # Shapes that are written agree with those that follow.
    for value in onnx.shape_inference.infer_shapes(bare, check_type=True, strict_mode=True).graph.value_info:
        said = own.get(value.name)
        if said is None or not value.type.tensor_type.HasField("shape"):
            continue
        a, b = said.tensor_type, value.type.tensor_type
        dims = [(p, q) for p, q in zip(a.shape.dim, b.shape.dim) if p.HasField("dim_value") and q.HasField("dim_value")]
        if a.elem_type != b.elem_type or len(a.shape.dim) != len(b.shape.dim) or any(p.dim_value != q.dim_value for p, q in dims):
            raise ValueError(f"{value.name} is said to be {a}, and is {b}")
    with open(path, "rb") as file:
        if file.read() != onnx.load(path, load_external_data=False).SerializeToString():
            raise ValueError("the library of ONNX writes the model otherwise")
    return inferred, model


for case in json.load(open(sys.argv[1])):
    answer = {"name": case["name"]}
    try:
        _, model = check(case["model"])
        answer["nodes"] = len(model.graph.node)
        answer["transposes"] = sum(node.op_type == "Transpose" for node in model.graph.node)
        data = np.load(case["inputs"])
        got, shapes = run(case["model"], data)
        if "like" in case:
            want, _ = run(case["like"], data)
        else:
            source = np.load(case["expected"])
            want = [source[f"{case['letter']}{i}"] for i in range(len(got))]
        answer["error"] = max(largest(a, b) for a, b in zip(got, want))
    except Exception as error:
        answer["problem"] = f"{type(error).__name__}: {str(error)[:600]}"
    print(json.dumps(answer), flush=True)
