#!/usr/bin/env bash
# Keras: int4 scales divide or multiply, depending on the block size
#
# keras 3.15.1 on jax 0.10.2.
#
# Expected: a variable called kernel_scale means one thing: weight = code * scale, or weight = code / scale.
#
# Seen: with one scale per channel (block_size None or -1, and int8 too) the weight is code / scale; with blocks
# (the default, 128 rows) it is (code - zero) * scale. In the file only the shapes tell: [outputs] or [blocks,
# outputs], the latter with kernel_zero. Two codes share a byte, the first output in the low nibble.
#
# Way around: look for kernel_zero before using the scale.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
with_pip keras==3.15.1 jax==0.10.2 numpy==2.4.6
export KERAS_BACKEND=jax
cat > try.py <<'EOF'
import keras
import numpy as np
from keras import Input, Model
from keras import layers as L

from keras.quantizers import Int4QuantizationConfig

kernel = np.array([[7, 70], [-7, -70], [3, 30], [0, 0]], "f4")
for block_size in (None, 128):
    layer = L.Dense(2, use_bias=False)
    model = keras.Sequential([Input((4,)), layer])
    layer.kernel.assign(kernel)
    model.quantize(config=Int4QuantizationConfig(block_size=block_size))
    variables = {variable.name: np.array(variable) for variable in layer.variables}
    packed = variables["kernel"].astype(int) & 255
    codes = np.stack([packed[:, 0] & 15, packed[:, 0] >> 4], 1)
    codes = np.where(codes > 7, codes - 16, codes)
    scale = variables["kernel_scale"]
    times = (codes - variables.get("kernel_zero", 0)) * scale
    by = codes / scale
    errors = [np.abs(one - kernel).max() for one in (times, by)]
    print(f"block size {block_size}: scale {scale.tolist()}; error of code * scale {errors[0]:.2f}, of code / scale {errors[1]:.2f}")
    assert (errors[0] < 7) == (block_size == 128), errors
    assert (errors[1] < 7) == (block_size is None), errors
EOF
python try.py
