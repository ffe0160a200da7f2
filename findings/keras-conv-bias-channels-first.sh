#!/usr/bin/env bash
# Keras: on TensorFlow, a convolution with channels first adds its bias along the width when the model is called
#
# keras 3.15.1, tensorflow-cpu 2.21.0.
#
# Expected: the bias of filter f is added to channel f, by model(x) and by model.predict(x) alike.
#
# Seen: where the output is as wide as there are filters, model(x) adds value i of the bias to column i of every channel;
# model.predict(x) is right. ops.add on TensorFlow takes an operand with one axis above 1 for a bias, squeezes it to a vector, and
# takes channels last where the last axis is as long.
#
# Way around: predict(), channels last, or use_bias=False and a layer of one's own for the bias.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
with_pip tensorflow-cpu==2.21.0 keras==3.15.1 numpy==2.4.6
cat > try.py <<'EOF'
import os
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
import numpy as np

for width in (5, 4):
    inputs = keras.Input((2, 3, width))
    layer = keras.layers.Conv2D(4, 1, data_format="channels_first", use_bias=True)
    model = keras.Model(inputs, layer(inputs))
    # The kernel is zero: the output is the bias.
    layer.set_weights([np.zeros((1, 1, 2, 4)), np.array([1.0, 2.0, 3.0, 4.0])])
    x = np.zeros((1, 2, 3, width), "float32")
    called, predicted = np.asarray(model(x)), model.predict(x, verbose=0)
    right = np.broadcast_to(np.reshape([1.0, 2.0, 3.0, 4.0], (1, 4, 1, 1)), called.shape)
    print(f"4 filters, {width} columns: model(x)[0, :, 0] =", called[0, :, 0].tolist())
    assert np.allclose(predicted, right)
    assert np.allclose(called, right) == (width != 4)
    if width == 4:
        assert np.allclose(called, np.broadcast_to([1.0, 2.0, 3.0, 4.0], called.shape))
EOF
python try.py
