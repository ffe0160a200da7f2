#!/usr/bin/env bash
# TensorFlow: oneDNN decides where 3D pooling looks
#
# tensorflow-cpu 2.21.0, with TF_ENABLE_ONEDNN_OPTS 1 (the default on x86-64) and 0.
#
# Expected: the switch changes the order of additions, and so last digits ("slightly different numerical results",
# says TensorFlow's own line at the start).
#
# Seen: with padding "same" and a window shorter than its stride, the windows lie elsewhere. Averages of two over
# 0 .. 7 at stride 4 are 0.5 4.5 with oneDNN and 1.5 5.5 without. Maxima move likewise. Pooling over two axes and
# convolutions do not.
#
# Way around: padding "valid" on an input that is padded by hand.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
with_pip tensorflow-cpu==2.21.0 keras==3.15.1
cat > try.py <<'EOF'
import os
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np
import tensorflow as tf

x = np.tile(np.arange(8, dtype="f4").reshape(1, 8, 1, 1, 1), (1, 1, 8, 8, 1))
average = tf.nn.avg_pool3d(x, 2, 4, "SAME").numpy()[0, :, 0, 0, 0].tolist()
largest = tf.nn.max_pool3d(x, 2, 4, "SAME").numpy()[0, :, 0, 0, 0].tolist()
flat = tf.nn.avg_pool2d(x[..., 0], 2, 4, "SAME").numpy()[0, :, 0, 0].tolist()
on = os.environ["TF_ENABLE_ONEDNN_OPTS"] == "1"
print("oneDNN", "on: " if on else "off:", "average", average, "largest", largest, "over two axes", flat)
assert average == ([0.5, 4.5] if on else [1.5, 5.5])
assert largest == ([1, 5] if on else [2, 6])
assert flat == [0.5, 4.5]
EOF
TF_ENABLE_ONEDNN_OPTS=1 python try.py 2> /dev/null
TF_ENABLE_ONEDNN_OPTS=0 python try.py 2> /dev/null
