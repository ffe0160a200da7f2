#!/usr/bin/env bash
# ONNX Runtime: INT2 weights before a MatMul are wrong unless the number of outputs is a multiple of 4
#
# onnx 1.23.2 (opset 25), onnxruntime 1.32.0, CPU provider.
#
# Expected: DequantizeLinear of an INT2 tensor, then MatMul, is the product with the dequantized weights, whatever
# the shape.
#
# Seen: right for 8, 12 and 16 columns (to the 8 bits that the fused kernel uses), and wrong by as much as the
# result itself for 9, 10 and 11. No error. Without graph optimizations all are exact: the fusion to MatMulNBits
# takes rows to begin at whole bytes.
#
# Way around: pad the outputs to a multiple of 4, or write the MatMulNBits node by hand.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
export PATH="$folder/venv/bin:$PATH"
pip install --quiet --disable-pip-version-check onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
cat > try.py <<'EOF'
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

for columns in (8, 9, 10, 11, 12, 16):
    fused, plain = error(2, 64, columns), error(2, 64, columns, optimize=False)
    print(f"{columns:2} columns: error {fused:.4f}, without optimizations {plain:.1e}")
    assert plain < 1e-5
    assert fused < 0.05 if columns % 4 == 0 else fused > 0.3
EOF
python try.py
