#!/usr/bin/env bash
# Keras: a legacy .h5 file of a model whose masks became operations cannot be loaded again
#
# keras 3.15.1 on jax 0.10.2.
#
# Expected: what model.save('m.h5') writes, load_model('m.h5') reads. The same model goes through .keras.
#
# Seen: "Unknown layer: 'NotEqual'". Embedding(mask_zero=True) makes its mask by an operation, Concatenate joins
# two such masks, and the file then lists NotEqual as a layer, which the reader of .h5 files does not look for.
#
# Way around: save as .keras, or save the weights alone.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
with_pip keras==3.15.1 jax==0.10.2 numpy==2.4.6
export KERAS_BACKEND=jax
cat > try.py <<'EOF'
import keras
import numpy as np
from keras import Input, Model
from keras import layers as L

tokens = Input((5,), dtype="int32")
embedded = L.Embedding(9, 4, mask_zero=True)(tokens)
model = Model(tokens, L.LSTM(3)(L.Concatenate()([embedded, embedded])))
model.save("model.keras")
keras.models.load_model("model.keras", compile=False)
model.save("model.h5")
try:
    keras.models.load_model("model.h5", compile=False)
except ValueError as error:
    print(error)
    assert "Unknown layer: 'NotEqual'" in str(error)
else:
    raise SystemExit("changed: model.h5 loads")
EOF
python try.py
