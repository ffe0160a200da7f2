#!/usr/bin/env bash
# Keras: quantized attention is saved and cannot be loaded again
#
# keras 3.15.1 on jax 0.10.2.
#
# Expected: what model.quantize("int4") and model.save take without a word, keras.saving.load_model loads.
#
# Seen: of MultiHeadAttention the four products inside are quantized, and the configuration of the layer keeps its policy
# float32, so that loading builds float products and refuses the file: "expected 2 variables, but received 0".
#
# Way around: in config.json of the .keras archive, give the attention layer a DTypePolicyMap whose keys are patterns of the
# paths of its parts ("(.*/)?attention/query") and whose values are their Int4DTypePolicy: it loads and predicts the same. (A
# model so loaded cannot be saved again: "Invalid dtype: object".)
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
with_pip keras==3.15.1 jax==0.10.2 numpy==2.4.6
export KERAS_BACKEND=jax
cat > try.py <<'EOF'
import json
import zipfile

import keras
import numpy as np
from keras import Input, Model
from keras import layers as L


def refusal(file):
    try:
        keras.saving.load_model(file)
    except Exception as error:
        return str(error).replace("\n", " ")
    return None


x = np.random.default_rng(0).normal(0, 1, (2, 6, 7)).astype("f4")
i = Input((6, 7))
for name, outputs in (("products", L.Dense(3)(L.Dense(5)(i))), ("attention", L.MultiHeadAttention(2, 3, name="attention")(i, i))):
    model = Model(i, outputs)
    model.quantize("int4")
    model.save(f"{name}.keras")
    why = refusal(f"{name}.keras")
    print(f"{name}: {'loaded' if why is None else 'refused: ...' + why[-160:]}")
    assert (why is None) == (name == "products"), why

right = model.predict(x, verbose=0)
archive = zipfile.ZipFile("attention.keras")
config = json.loads(archive.read("config.json"))


def policy(module, kind, **own):
    return {"module": module, "class_name": kind, "config": own, "registered_name": None}


for layer in config["config"]["layers"]:
    if layer["class_name"] == "MultiHeadAttention":
        int4 = policy("keras.dtype_policies", "Int4DTypePolicy", mode="int4/128", source_name="float32")
        usual = policy("keras", "DTypePolicy", name="float32")
        parts = {"(.*/)?attention/(query|key|value|attention_output)": int4}
        layer["config"]["dtype"] = policy("keras.dtype_policies", "DTypePolicyMap", default_policy=usual, policy_map=parts)
with zipfile.ZipFile("mended.keras", "w") as mended:
    mended.writestr("config.json", json.dumps(config))
    for name in ("metadata.json", "model.weights.h5"):
        mended.writestr(name, archive.read(name))
error = np.abs(keras.saving.load_model("mended.keras").predict(x, verbose=0) - right).max()
print(f"attention with a policy map: loaded, largest difference {error:.1e}")
assert error < 1e-5
EOF
python try.py
