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
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
with_pip onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
with matmul_error.py
cat > try.py <<'EOF'
from matmul_error import error

exact = [("session.qdq_matmulnbits_accuracy_level", "1")]
for rows in (64, 512):
    default, asked, plain = error(4, rows, 16), error(4, rows, 16, exact), error(4, rows, 16, optimize=False)
    print(f"{rows} rows: error {default:.1e} by default, {asked:.1e} at accuracy level 1, {plain:.1e} without optimizations")
    assert default > 1e-3 and asked < 1e-5 and plain < 1e-5
EOF
python try.py
