#!/usr/bin/env bash
# Keras: MultiHeadAttention ignores the query_mask that it is called with
#
# keras 3.15.1 on jax 0.10.2.
#
# Expected: call() has the arguments query_mask, value_mask and key_mask, and takes all three.
#
# Seen: value_mask and key_mask hide what they say. query_mask changes nothing: the layer replaces it by the mask that hangs on the
# query itself, which is none here.
#
# Way around: attention_mask=query_mask[:, :, None].
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
with_pip keras==3.15.1 jax==0.10.2 numpy==2.4.6
export KERAS_BACKEND=jax
cat > try.py <<'EOF'
import numpy as np
from keras import layers

x = np.random.default_rng(1).normal(size=(2, 5, 4)).astype("float32")
mask = np.array([[True, True, False, True, False]] * 2)
layer = layers.MultiHeadAttention(2, 3)
plain = np.asarray(layer(x, x))
changes = {
    name: float(np.abs(np.asarray(layer(x, x, x, **{name: mask})) - plain).max())
    for name in ("query_mask", "value_mask", "key_mask")
}
changes["attention_mask"] = float(np.abs(np.asarray(layer(x, x, attention_mask=mask[:, :, None] & np.ones((2, 5, 5), bool))) - plain).max())
print("largest change of the output:", changes)
assert changes["query_mask"] == 0
assert min(changes[name] for name in ("value_mask", "key_mask", "attention_mask")) > 0.01
EOF
python try.py
