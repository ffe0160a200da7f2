#!/usr/bin/env bash
# Keras: some activation functions cannot be called on the tensors of a functional model
#
# keras 3.15.1 on jax 0.10.2.
#
# Expected: every function of keras.activations takes a symbolic tensor, as relu, gelu, silu and a dozen others
# do.
#
# Seen: mish, hard_silu and sparsemax raise "A KerasTensor cannot be used as input to a JAX function"; an
# Activation layer of the same name works.
#
# Way around: L.Activation("mish")(x).
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
with_pip keras==3.15.1 jax==0.10.2 numpy==2.4.6
export KERAS_BACKEND=jax
cat > try.py <<'EOF'
import keras
import numpy as np
from keras import Input, Model
from keras import layers as L

failed = []
for name in ("relu", "relu6", "gelu", "silu", "celu", "glu", "squareplus", "hard_tanh", "mish", "hard_silu", "sparsemax"):
    try:
        getattr(keras.activations, name)(Input((4,)))
    except ValueError as error:
        assert "KerasTensor cannot be used as input" in str(error)
        failed.append(name)
    assert L.Activation(name)(Input((4,))).shape[0] is None
print("fail:", failed)
assert failed == ["mish", "hard_silu", "sparsemax"], failed
EOF
python try.py
