#!/usr/bin/env bash
# Keras: an int4 or int8 Dense layer inside TimeDistributed is computed without its scales
#
# keras 3.15.1 on jax 0.10.2.
#
# Expected: model.quantize changes what a model predicts by the rounding of its weights, a few percent.
#
# Seen: TimeDistributed calls the call method of the layer that it holds, and not the layer, which would have gone on to the method
# for quantized weights. So the codes, whole numbers up to 7 or 127, take the place of the weights, without a warning. The
# same layer called outside of TimeDistributed is right.
#
# Way around: a Dense layer works on the last axis whatever comes before, so use it without TimeDistributed.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
with_pip keras==3.15.1 jax==0.10.2 numpy==2.4.6
export KERAS_BACKEND=jax
cat > try.py <<'EOF'
import keras
import numpy as np
from keras import Input, Model
from keras import layers as L

x = np.random.default_rng(0).normal(0, 1, (2, 6, 7)).astype("f4")
for mode in ("int4", "int8"):
    for wrap in (False, True):
        keras.utils.set_random_seed(1)
        dense = L.Dense(5, name="dense")
        i = Input((6, 7))
        model = Model(i, L.TimeDistributed(dense)(i) if wrap else dense(i))
        before = model.predict(x, verbose=0)
        model.quantize(mode)
        after, alone = model.predict(x, verbose=0), np.array(dense(x))
        errors = [np.abs(own - before).max() / np.abs(before).max() for own in (after, alone)]
        print(f"{mode}, {'inside of TimeDistributed' if wrap else 'as it is'}: error {errors[0]:.3f} of the largest output; the layer alone {errors[1]:.3f}")
        assert errors[1] < 0.2, errors
        assert (errors[0] > 2) == wrap, errors
EOF
python try.py
