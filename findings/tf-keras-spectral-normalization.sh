#!/usr/bin/env bash
# tf_keras cannot load its own files of SpectralNormalization
#
# tf_keras 2.21.0, tensorflow-cpu 2.21.0.
#
# Expected: a layer of the library loads from a file of the library without custom_objects.
#
# Seen: from .h5 "Unknown layer: 'SpectralNormalization'", from .keras "'str' object is not callable". The class
# is not in the table of names that the readers use.
#
# Way around: custom_objects={"SpectralNormalization": tf_keras.layers.SpectralNormalization} for the .h5.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
with_pip tensorflow-cpu==2.21.0 keras==3.15.1 tf_keras==2.21.0
cat > try.py <<'EOF'
import os
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TF_USE_LEGACY_KERAS"] = "1"
import tf_keras

layers = tf_keras.layers
x = tf_keras.Input((6,))
model = tf_keras.Model(x, layers.SpectralNormalization(layers.Dense(3))(x))
for kind, expected in (("h5", "Unknown layer: 'SpectralNormalization'"), ("keras", "'str' object is not callable")):
    model.save("model." + kind)
    try:
        tf_keras.models.load_model("model." + kind, compile=False)
    except (ValueError, TypeError) as error:
        print(kind, type(error).__name__, str(error).splitlines()[0])
        assert expected in str(error), error
    else:
        raise SystemExit(f"changed: model.{kind} loads")
custom = {"SpectralNormalization": layers.SpectralNormalization}
tf_keras.models.load_model("model.h5", custom_objects=custom, compile=False)
EOF
python try.py
