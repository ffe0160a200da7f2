"""What the scripts that run exported models share: cases out of a JSON file, a JSON line with the errors of each.

CASES.json is a list of { "name", "model", "inputs", ... }: "inputs" is a .npz with x0, x1, ...; "expected" and "letter" say where the
right outputs are: a .npz with LETTER0, LETTER1, ..., or the path of another model that has to give the same ("like"). "classes": how
often the largest output stands where it should.
"""
import json
import sys

import numpy as np


def largest(got, want):
    """The largest error: of each value, or of a hundredth of the largest."""
    if got.shape != want.shape:
        raise ValueError(f"shape {got.shape} instead of {want.shape}")
    got, want = got.astype("float64"), want.astype("float64")
    if got.size == 0:
        return 0.0
    floor = max(np.abs(want).max() / 100, 1e-30)
    error = np.abs(got - want) / np.maximum(np.abs(want), floor)
    return float("inf") if np.isnan(error).any() else float(error.max())


def share(got, want):
    """The largest error as a share of the largest output."""
    return float(np.abs(got.astype("float64") - want).max() / max(np.abs(want).max(), 1e-30))


def stored(case):
    source = np.load(case["expected"])
    count = sum(key.rstrip("0123456789") == case["letter"] for key in source.files)
    return [source[f"{case['letter']}{i}"] for i in range(count)]


def answer_all(look, run):
    """`look(path)` gives what is to be said of a model, `run(path, data, case)` its outputs."""
    for case in json.load(open(sys.argv[1])):
        answer = {"name": case["name"]}
        try:
            answer |= look(case["model"])
            # Arrays, not the archive: that reads an array anew whenever it is asked for it.
            data = dict(np.load(case["inputs"]))
            got = run(case["model"], data, case)
            want = run(case["like"], data, case) if "like" in case else stored(case)
            if len(got) != len(want) or not want:
                raise ValueError(f"{len(got)} outputs instead of {len(want)}")
            if case.get("classes"):
                answer["same"] = float((got[0].argmax(-1) == want[0].argmax(-1)).mean())
            answer["share"] = max(share(a, b) for a, b in zip(got, want))
            answer["error"] = max(largest(a, b) for a, b in zip(got, want))
        except Exception as error:
            answer["problem"] = f"{type(error).__name__}: {str(error)[:600]}"
        print(json.dumps(answer), flush=True)
