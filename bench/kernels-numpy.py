"""What bench/kernels.ts measures in NumPy. Prints one JSON object: case -> median milliseconds.

    python bench/kernels-numpy.py COUNT ROWS COLUMNS SECONDS      COUNT matrices of [ROWS, COLUMNS]
"""

import json
import sys
import time

import numpy as np

count, rows, columns = (int(a) for a in sys.argv[1:4])
seconds = float(sys.argv[4])
weights = np.random.default_rng(1).standard_normal((count, rows, columns), dtype=np.float32) * np.float32(0.05)
copy = np.zeros_like(weights)
codes = np.zeros(weights.size // 2, np.uint8)
scales = np.full((count, 1, columns), 0.01, np.float32)


def notebook_sign():
    return np.where(weights > 0, 1, -1).astype(np.int8)


def sign():
    return np.packbits((weights > 0).reshape(-1), bitorder="little"), np.abs(weights).mean(axis=1)


def int4():
    most = np.abs(weights).max(axis=1, keepdims=True)
    inverse = np.float32(7) / most
    q = np.clip(np.rint(weights * inverse), -8, 7).astype(np.int8).reshape(-1)
    return (q[0::2] & 15) | (q[1::2] << 4), most / np.float32(7)


def unpack_int4():
    q = np.empty(weights.size, np.int8)
    q[0::2] = (codes << 4).view(np.int8) >> 4
    q[1::2] = codes.view(np.int8) >> 4
    return q.reshape(weights.shape) * scales


def median(job):
    job()
    times = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        job()
        times.append(time.perf_counter() - start)
    return 1000 * sorted(times)[len(times) // 2]


result = {
    "sum": median(lambda: weights.sum()),
    "copy": median(lambda: np.copyto(copy, weights)),
    "np.where(w > 0, 1, -1).astype(int8)": median(notebook_sign),
    "sign per channel": median(sign),
    "int4 per channel": median(int4),
    "int4 unpack per channel": median(unpack_int4),
}
print(json.dumps({"numpy": np.__version__, "milliseconds": result}))
