"""What ONNX Runtime computes wrongly or loosely, and the profiles of `convert` therefore leave out.

Prints a document of JSON: versions, and the largest relative error of each construction against NumPy.
"""
import json

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

ort.set_default_logger_severity(3)
rng = np.random.default_rng(1)


def packed(codes, bits):
    codes = codes.reshape(-1) & (2**bits - 1)
    codes = np.concatenate([codes, np.zeros(-len(codes) % (8 // bits), codes.dtype)]).reshape(-1, 8 // bits)
    return (codes << (np.arange(8 // bits) * bits)).sum(1).astype("uint8").tobytes()


def dequantized_product(bits, rows, columns, level=None):
    """DequantizeLinear of a matrix, one scale for each column, then MatMul."""
    low = -(2 ** (bits - 1))
    codes = rng.integers(low, -low, (rows, columns))
    scales = rng.uniform(0.5, 1.5, columns).astype("float32")
    x = rng.normal(size=(4, rows)).astype("float32")
    kind = {2: TensorProto.INT2, 4: TensorProto.INT4}[bits]
    weight = onnx.TensorProto(name="w", data_type=kind, dims=[rows, columns], raw_data=packed(codes, bits))
    graph = helper.make_graph(
        [helper.make_node("DequantizeLinear", ["w", "s"], ["d"], axis=1), helper.make_node("MatMul", ["x", "d"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, rows])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4, columns])],
        [weight, numpy_helper.from_array(scales, "s")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 25)], ir_version=13)
    onnx.checker.check_model(model, full_check=True)
    options = ort.SessionOptions()
    if level is not None:
        options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", str(level))
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {"x": x})
    want = x @ (codes * scales)
    return float(np.abs(got - want).max() / np.abs(want).max())


print(
    json.dumps(
        {
            "onnx": onnx.__version__,
            "onnxruntime": ort.__version__,
            "int2, columns no multiple of 4": dequantized_product(2, 64, 10),
            "int2, columns a multiple of 4": dequantized_product(2, 64, 12),
            "int4": dequantized_product(4, 256, 32),
            "int4, accuracy level 1": dequantized_product(4, 256, 32, 1),
        }
    )
)
