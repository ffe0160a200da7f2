#!/usr/bin/env bash
# h5wasm: the second read of a dataset of arrays differs from the first
#
# h5wasm 0.10.3, h5py 3.16.0, which writes the file.
#
# Expected: `dataset.value` is a plain getter; reading it twice gives the same.
#
# Seen: for a dataset whose type is an array (three elements of two floats each), the first read is right, the
# second is nested one level deeper, the third deeper still: each read puts the shape in front of the shape that
# the getter has cached. A line that logs the value changes what the next line computes.
#
# Way around: read once and keep the result, or open the dataset anew.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
with_pip h5py==3.16.0 numpy==2.4.6
with_npm h5wasm@0.10.3
python - <<'EOF'
import h5py
import numpy as np

with h5py.File("pairs.h5", "w") as file:
    pairs = file.create_dataset("pairs", shape=(3,), dtype=np.dtype(("f4", (2,))))
    pairs[...] = np.arange(6, dtype="f4").reshape(3, 2)
EOF
cat > try.js <<'EOF'
import assert from 'node:assert/strict';
import h5wasm from 'h5wasm/node';

await h5wasm.ready;
const dataset = new h5wasm.File('pairs.h5', 'r').get('pairs');
const [first, second] = [dataset.value, dataset.value].map((value) => JSON.stringify(value));
console.log('first ', first);
console.log('second', second);
assert.equal(first, '[[0,1],[2,3],[4,5]]');
assert.equal(second, '[[[0,1],[2,3],[4,5]]]');
EOF
node try.js
