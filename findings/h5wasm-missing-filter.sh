#!/usr/bin/env bash
# h5wasm: a dataset with a filter that it lacks is read as garbage, without an exception
#
# h5wasm 0.10.3 (HDF5 2.0), h5py 3.16.0, which writes the file.
#
# Expected: reading a dataset that is compressed with a filter that the library does not have throws. LZF is built
# into h5py.
#
# Seen: `value` returns an array of the right length and type whose numbers are not those of the file. HDF5
# prints its error stack to standard error, which a page does not see. Gzip and shuffle are read right.
#
# Way around: look at `dataset.filters` before `dataset.value` and refuse what is not known.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
with_pip h5py==3.16.0 numpy==2.4.6
with_npm h5wasm@0.10.3
python - <<'EOF'
import h5py
import numpy as np

values = np.full((64, 64), 0.5, "f4")
with h5py.File("weights.h5", "w") as file:
    file.create_dataset("gzip", data=values, chunks=(64, 64), compression="gzip", shuffle=True)
    file.create_dataset("lzf", data=values, chunks=(64, 64), compression="lzf")
EOF
cat > try.js <<'EOF'
import assert from 'node:assert/strict';
import h5wasm from 'h5wasm/node';

await h5wasm.ready;
const file = new h5wasm.File('weights.h5', 'r');
for (const name of ['gzip', 'lzf']) {
  const { value, filters } = file.get(name);
  const right = value.filter((number) => number === 0.5).length;
  console.log(`${name}: ${right} of ${value.length} values are right; filters ${filters.map(({ name }) => name).join(', ')}`);
  assert.equal(value.length, 64 * 64);
  assert.equal(right === 64 * 64, name === 'gzip');
}
EOF
node try.js 2> /dev/null
