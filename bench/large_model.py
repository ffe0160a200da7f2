"""Writes a Keras .h5 of N dense kernels of 8192 x 8192: large_model.py FILE N [sparse]. Sparse kernels are zeros that take no room."""
import json
import sys

import h5py
import numpy as np

path, count = sys.argv[1], int(sys.argv[2])
sparse = "sparse" in sys.argv[3:]
shape = (8192, 8192)
random = np.random.default_rng(0)
layers = []
with h5py.File(path, "w") as file:
    weights = file.create_group("model_weights")
    for i in range(count):
        name = f"dense_{i}"
        group = weights.create_group(name)
        group.attrs["weight_names"] = np.array([f"{name}/kernel".encode()])
        inner = group.create_group(name)
        if sparse:
            plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
            plist.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
            space = h5py.h5s.create_simple(shape)
            h5py.h5d.create(inner.id, b"kernel", h5py.h5t.IEEE_F32LE, space, plist)
        else:
            inner.create_dataset("kernel", data=random.standard_normal(shape, dtype=np.float32))
        config = {"name": name, "units": shape[1], "use_bias": False, "activation": "linear"}
        if i == 0:
            config["batch_input_shape"] = [None, shape[0]]
        layers.append({"class_name": "Dense", "config": config})
    weights.attrs["layer_names"] = np.array([f"dense_{i}".encode() for i in range(count)])
    for place in (file, weights):
        place.attrs["keras_version"] = "2.15.0"
        place.attrs["backend"] = "tensorflow"
    file.attrs["model_config"] = json.dumps(
        {"class_name": "Sequential", "config": {"name": "large", "layers": layers}}
    )
