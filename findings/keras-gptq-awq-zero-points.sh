#!/usr/bin/env bash
# Keras: a Dense layer quantized with GPTQ or AWQ is saved without its zero points
#
# keras 3.15.1 on jax 0.10.2.
#
# Expected: a model that Keras quantized, saved and did not change loads again.
#
# Seen: the layer has a variable kernel_zero, the .keras file does not, and load_model says that it expected one
# variable more than it received. The file cannot be mended: codes without zero points are not weights.
#
# Way around: save as .h5, which has them.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
with_pip keras==3.15.1 jax==0.10.2 numpy==2.4.6
export KERAS_BACKEND=jax
cat > try.py <<'EOF'
import io
import zipfile

import keras
import numpy as np
from keras import Input, Model
from keras import layers as L

import h5py
from keras.quantizers import AWQConfig, GPTQConfig


class Numbers:
    def tokenize(self, text):
        return np.array([int(word) for word in text.split()])


texts = [" ".join(map(str, np.random.default_rng(seed).integers(0, 9, 12))) for seed in range(2)]
for Config in (GPTQConfig, AWQConfig):
    tokens = Input((4,), dtype="int32")
    embedding = L.Embedding(9, 8)
    dense = L.Dense(4)
    block = keras.Sequential([Input((4, 8)), dense])
    model = Model(tokens, block(embedding(tokens)))
    config = Config(dataset=texts, tokenizer=Numbers(), num_samples=2, sequence_length=4, group_size=8)
    config.quantization_layer_structure = {"pre_block_layers": [embedding], "sequential_blocks": [block]}
    model.quantize(config.mode, config=config)
    config.quantization_layer_structure = None  # it names layers, which saving cannot write
    names = [variable.name for variable in dense.variables]
    model.save("model.keras")
    stored = []
    weights = zipfile.ZipFile("model.keras").read("model.weights.h5")
    with h5py.File(io.BytesIO(weights)) as file:
        file.visititems(lambda name, it: stored.append(name) if isinstance(it, h5py.Dataset) and "dense" in name else None)
    print(config.mode, "variables:", ", ".join(names), "- stored:", len(stored))
    assert "kernel_zero" in names and len(stored) == len(names) - 1
    try:
        keras.models.load_model("model.keras")
    except ValueError as error:
        assert f"expected {len(names)} variables, but received {len(stored)}" in str(error), error
    else:
        raise SystemExit("changed: the file loads")
EOF
python try.py
