#!/usr/bin/env bash
# Keras: the output of an inner model is numbered in two ways in one configuration
#
# keras 3.15.1 on jax 0.10.2.
#
# Expected: [layer, node, tensor] means the same wherever it stands, so that a reader of config.json can follow
# it.
#
# Seen: `output_layers` counts the calls of an inner model from 1 (its own construction is call 0), and
# `keras_history` in the calls inside the graph counts them from 0. For a plain layer both begin at 0. A reader
# that takes one rule for both finds no such node, or, where an inner model is called twice, the wrong one.
#
# Way around: subtract one in output_layers where the layer is itself a model.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
with_pip keras==3.15.1 jax==0.10.2 numpy==2.4.6
export KERAS_BACKEND=jax
cat > try.py <<'EOF'
import keras
import numpy as np
from keras import Input, Model
from keras import layers as L

def outputs_and_call(wrap):
    inner_input = Input((4,))
    inner = Model(inner_input, L.Dense(2)(inner_input), name="inner")
    outer_input = Input((4,))
    y = inner(outer_input)
    config = Model(outer_input, L.ReLU(name="relu")(y) if wrap else y).get_config()
    return config["output_layers"], config["layers"][-1]["inbound_nodes"][0]["args"][0]["config"]["keras_history"]


direct, _ = outputs_and_call(False)
plain, inside = outputs_and_call(True)
print("as an output:", direct, "as an input of relu:", inside, "a plain layer as an output:", plain)
assert direct == ["inner", 1, 0]
assert inside == ["inner", 0, 0]
assert plain == ["relu", 0, 0]
EOF
python try.py
