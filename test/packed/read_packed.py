"""Decodes a packed model with NumPy alone, from docs/FORMAT.md: python read_packed.py MODEL.safetensors OUT.npz"""
import json
import struct
import sys

import numpy as np

DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "<i1",
          "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "<u1", "BOOL": "?"}


def tensors(data):
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    metadata = header.pop("__metadata__")
    body = memoryview(data)[8 + length:]
    arrays = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        arrays[name] = np.frombuffer(body[start:end], DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return metadata, arrays


def levels(scheme, codes, n):
    if scheme == "binary":
        return np.unpackbits(codes, bitorder="little")[:n].astype(np.float32) * 2 - 1
    if scheme == "int2":
        pairs = np.stack([codes >> shift & 3 for shift in (0, 2, 4, 6)], axis=1).reshape(-1)[:n]
        return np.array([0.5, 1.5, -1.5, -0.5], np.float32)[pairs]
    assert scheme == "int4"
    nibbles = np.stack([codes & 15, codes >> 4], axis=1).reshape(-1)[:n].astype(np.int8)
    return np.where(nibbles > 7, nibbles - 16, nibbles).astype(np.float32)


def decode(weight, arrays):
    if weight["scheme"] == "keep":
        return arrays[weight["id"]]
    shape, n = weight["shape"], int(np.prod(weight["shape"]))
    scales = arrays[weight["id"] + ".scales"].astype(np.float32)
    outer, channels, inner = 1, 1, n
    if weight["granularity"] != "tensor" and shape:
        a, b = weight["axes"][0], weight["axes"][-1] + 1
        outer, channels, inner = (int(np.prod(part)) for part in (shape[:a], shape[a:b], shape[b:]))
    e = np.arange(n)
    row = e // (inner * channels) * inner + e % inner
    rows = weight.get("group_size", max(1, outer * inner))
    scale = scales[row // rows, e // inner % channels]
    return (levels(weight["scheme"], arrays[weight["id"] + ".codes"], n) * scale).reshape(shape)


if __name__ == "__main__":
    metadata, arrays = tensors(open(sys.argv[1], "rb").read())
    assert metadata["format"] == "bitnibble" and metadata["format_version"] == "1"
    np.savez(sys.argv[2], **{w["id"].replace("/", "|"): decode(w, arrays) for w in json.loads(metadata["weights"])})
