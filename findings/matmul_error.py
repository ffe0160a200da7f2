import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

rng = np.random.default_rng(0)


def error(bits, rows, columns, settings=(), optimize=True):
    """Largest error of DequantizeLinear -> MatMul beside NumPy, as a part of the largest output."""
    codes = rng.integers(-(1 << bits - 1), 1 << bits - 1, (rows, columns))
    scale = rng.uniform(0.5, 1.5, columns).astype("f4")
    x = rng.normal(size=(3, rows)).astype("f4")
    per = 8 // bits
    flat = codes.ravel() & (1 << bits) - 1
    flat = np.concatenate([flat, np.zeros(-len(flat) % per, flat.dtype)]).reshape(-1, per)
    packed = sum(flat[:, i] << bits * i for i in range(per)).astype(np.uint8).tobytes()
    kind = {2: TensorProto.INT2, 4: TensorProto.INT4}[bits]
    graph = helper.make_graph(
        [helper.make_node("DequantizeLinear", ["q", "s"], ["w"], axis=1), helper.make_node("MatMul", ["x", "w"], ["y"])],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, rows])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [3, columns])],
        [helper.make_tensor("q", kind, [rows, columns], packed, raw=True), numpy_helper.from_array(scale, "s")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 25)], ir_version=13)
    options = ort.SessionOptions()
    if not optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    for key, value in settings:
        options.add_session_config_entry(key, value)
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    wanted = x @ (codes * scale).astype("f4")
    return float(np.abs(session.run(None, {"x": x})[0] - wanted).max() / np.abs(wanted).max())
