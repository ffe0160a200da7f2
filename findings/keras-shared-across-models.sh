#!/usr/bin/env bash
# Keras: a model that calls another model, both directly and inside a third model, is saved and cannot be loaded again
#
# keras 3.15.1 on jax 0.10.2.
#
# Expected: what model.save("model.keras") writes without a warning, load_model reads.
#
# Seen: the configuration describes the shared model in both places, so that it is two models for the reader; its weights are in the
# file once, since the writer visits an object once. load_model says that the layer of the other one expected two variables and
# received none. A legacy .h5 file has the weights in both places, and loads.
#
# Way around: save as .h5.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
with_pip keras==3.15.1 jax==0.10.2 numpy==2.4.6
export KERAS_BACKEND=jax
cat > try.py <<'EOF'
import io
import zipfile

import h5py
import keras
import numpy as np
from keras import layers

shared = keras.Sequential([keras.Input((4,)), layers.Dense(5)], name="shared")
x = keras.Input((4,))
inner = keras.Model(x, layers.Dense(3)(layers.Concatenate()([shared(x), x])), name="inner")
y = keras.Input((4,))
model = keras.Model(y, layers.Add()([layers.Dense(5)(inner(y)), shared(y)]))
model.save("model.keras")
model.save("model.h5")

kernels = []
with h5py.File(io.BytesIO(zipfile.ZipFile("model.keras").read("model.weights.h5"))) as file:
    file.visititems(lambda name, it: kernels.append(name) if getattr(it, "shape", None) == (4, 5) else None)
print("kernels in the .keras file:", kernels)
assert len(kernels) == 1
try:
    keras.saving.load_model("model.keras")
except ValueError as error:
    assert "expected 2 variables, but received 0 variables" in str(error), error
    print("load_model of the .keras file: expected 2 variables, but received 0")
else:
    raise SystemExit("changed: the .keras file loads")

batch = np.arange(8, dtype="float32").reshape(2, 4)
again = keras.saving.load_model("model.h5")
assert np.allclose(again.predict(batch, verbose=0), model.predict(batch, verbose=0))
print("load_model of the .h5 file: the same outputs")
EOF
python try.py
