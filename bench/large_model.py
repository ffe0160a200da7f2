"""Writes a Keras .h5 of N dense kernels of 8192 x 8192: large_model.py FILE N [sparse | chunked].

Sparse kernels are zeros that take no room; chunked ones lie in chunks of 128 x 128.
FILE.keras: as Keras 3 archives them. FILE.weights.json: as Keras 3 writes weights in shards, a sparse kernel in each.
"""
import json
import os
import sys
import zipfile

import h5py
import numpy as np

path, count = sys.argv[1], int(sys.argv[2])
sparse = "sparse" in sys.argv[3:]
chunks = (128, 128) if "chunked" in sys.argv[3:] else None
shape = (8192, 8192)
random = np.random.default_rng(0)


def add_sparse(group, name):
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    plist.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    h5py.h5d.create(group.id, name, h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple(shape), plist)


if path.endswith(".weights.json"):
    stem = path[: -len(".weights.json")]
    weight_map = {}
    for i in range(count):
        file = f"{stem}_{i:05d}.weights.h5"
        with h5py.File(file, "w") as shard:
            add_sparse(shard.create_group(f"layers/dense_{i}/vars"), b"0")
        weight_map[f"/layers/dense_{i}/vars"] = [os.path.basename(file)]
    total = count * 4 * shape[0] * shape[1]
    with open(path, "w") as file:
        json.dump({"metadata": {"total_size": total}, "weight_map": weight_map}, file, indent=4)
    sys.exit()

if path.endswith(".keras"):
    member = path + ".weights.h5"
    layers = []
    with h5py.File(member, "w") as file:
        for i in range(count):
            name = "dense" if i == 0 else f"dense_{i}"
            data = random.standard_normal(shape, dtype=np.float32)
            file.create_dataset(f"layers/{name}/vars/0", data=data)
            config = {"name": name, "units": shape[1], "use_bias": False, "activation": "linear"}
            layers.append({"module": "keras.layers", "class_name": "Dense", "config": config})
    model = {"module": "keras", "class_name": "Sequential", "config": {"name": "large", "layers": layers}}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.8.0"}))
        archive.writestr("config.json", json.dumps(model))
        archive.write(member, "model.weights.h5")
    os.remove(member)
    sys.exit()

layers = []
with h5py.File(path, "w") as file:
    weights = file.create_group("model_weights")
    for i in range(count):
        name = f"dense_{i}"
        group = weights.create_group(name)
        group.attrs["weight_names"] = np.array([f"{name}/kernel".encode()])
        inner = group.create_group(name)
        if sparse:
            add_sparse(inner, b"kernel")
        else:
            inner.create_dataset("kernel", data=random.standard_normal(shape, dtype=np.float32), chunks=chunks)
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
