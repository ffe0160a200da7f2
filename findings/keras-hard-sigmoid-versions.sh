#!/usr/bin/env bash
# Keras 3 loads a Keras 2 model with hard_sigmoid and computes another function
#
# keras 3.15.1, tf_keras 2.21.0 (Keras 2), tensorflow-cpu 2.21.0.
#
# Expected: a file that loads without a word gives the outputs that it had, or the name of the changed function is
# refused.
#
# Seen: Keras 2's hard_sigmoid is clip(0.2 x + 0.5, 0, 1) and Keras 3's is relu6(x + 3) / 6. The name in the file
# is the same. At -2 the outputs are 0.1 and 0.167. It was the default recurrent activation of the LSTM and GRU
# layers of Keras 1 and early Keras 2.
#
# Way around: load with custom_objects={"hard_sigmoid": ...} where keras_version in the file is below 3.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
with_pip tensorflow-cpu==2.21.0 keras==3.15.1 tf_keras==2.21.0
cat > try.py <<'EOF'
import os
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TF_USE_LEGACY_KERAS"] = "1"
import keras
import numpy as np
import tf_keras

x = np.array([[-2.0], [1.0]])
model = tf_keras.Sequential([tf_keras.Input((1,)), tf_keras.layers.Activation("hard_sigmoid")])
model.save("model.h5")
old = model.predict(x, verbose=0).ravel()
new = keras.models.load_model("model.h5", compile=False).predict(x, verbose=0).ravel()
print("Keras 2", old, "Keras 3", new)
assert np.allclose(old, [0.1, 0.7]) and np.allclose(new, [1 / 6, 2 / 3])
EOF
python try.py
