#!/usr/bin/env bash
# ONNX Runtime: weights-only int4 is computed with 8-bit activations by default
#
# onnx 1.23.2 (opset 25), onnxruntime 1.32.0, CPU provider.
#
# Expected: a graph that dequantizes weights to float32 and multiplies them with float32 activations is computed
# in float32. Only weights were quantized.
#
# Seen: DequantizeLinear -> MatMul is fused into a kernel that rounds the activations to 8 bits: errors of some
# thousandths of the largest output, a hundred thousand times float32's. An evaluation of int4 weights so measures
# two roundings.
#
# Way around: the session option session.qdq_matmulnbits_accuracy_level = 1 (float32).
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

exact = [("session.qdq_matmulnbits_accuracy_level", "1")]
for rows in (64, 512):
    default, asked, plain = error(4, rows, 16), error(4, rows, 16, exact), error(4, rows, 16, optimize=False)
    print(f"{rows} rows: error {default:.1e} by default, {asked:.1e} at accuracy level 1, {plain:.1e} without optimizations")
    assert default > 1e-3 and asked < 1e-5 and plain < 1e-5
EOF
python try.py
