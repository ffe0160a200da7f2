"""Checks ONNX models and runs them in ONNX Runtime.

usage: python onnx_run.py CASES.json

CASES.json is that of exported.py.
"""
import onnx
import onnxruntime as ort

from exported import answer_all

ort.set_default_logger_severity(3)


def session(path):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


TYPES = {"tensor(float)": "float32", "tensor(int32)": "int32", "tensor(bool)": "bool"}


def run(path, data, case):
    own = session(path)
    feeds = {port.name: data[f"x{i}"].astype(TYPES[port.type]) for i, port in enumerate(own.get_inputs())}
    return own.run(None, feeds)


def check(path):
    onnx.checker.check_model(path, full_check=True)
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
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
    return model


def look(path):
    nodes = check(path).graph.node
    return {"nodes": len(nodes), "transposes": sum(node.op_type == "Transpose" for node in nodes)}


answer_all(look, run)
