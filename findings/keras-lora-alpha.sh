#!/usr/bin/env bash
# Keras: a LoRA layer saved as .h5 comes back with another strength
#
# keras 3.15.1 on jax 0.10.2.
#
# Expected: a layer with enable_lora(rank=2, lora_alpha=16) gives the same outputs after save and load.
#
# Seen: from .h5 the adapter counts for lora_alpha / rank = 1 in place of 8: loading restores the rank alone, and
# alpha falls back to the rank. The file does have `lora_alpha` in its configuration. No error, no warning;
# outputs are those of a weaker adapter. A .keras file holds the merged kernel, and is right.
#
# Way around: save as .keras, or set layer.lora_alpha after loading.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
with_pip keras==3.15.1 jax==0.10.2 numpy==2.4.6
export KERAS_BACKEND=jax
cat > try.py <<'EOF'
import keras
import numpy as np
from keras import Input, Model
from keras import layers as L

tokens = Input((12,))
layer = L.Dense(8)
model = Model(tokens, layer(tokens))
layer.enable_lora(rank=2, lora_alpha=16)
layer.lora_kernel_a.assign(np.ones(layer.lora_kernel_a.shape))
layer.lora_kernel_b.assign(np.ones(layer.lora_kernel_b.shape))
x = np.ones((1, 12))
before = model.predict(x, verbose=0)
outputs = {}
for kind in ("keras", "h5"):
    model.save("model." + kind)
    loaded = keras.models.load_model("model." + kind, compile=False)
    outputs[kind] = loaded.predict(x, verbose=0)
    print(kind, outputs[kind][0, :3], "saved", before[0, :3])
assert np.allclose(outputs["keras"], before, rtol=1e-5)
# Ones make the adapter 12 * 2 * alpha / rank: 192 before, 24 after.
assert np.allclose(before - outputs["h5"], 192 - 24, rtol=1e-4)
EOF
python try.py
