"""The committed file of format version 1 keeps loading and giving the same vectors."""

import base64
import json
import pathlib

import numpy as np
from file_reader import read

from embedrt import _core

GOLDEN = pathlib.Path(__file__).parent.parent / "data" / "tiny-bert-v1.embedrt"


def test_the_committed_file():
    file = read(GOLDEN.read_bytes())
    section = json.loads(file.sections["golden"])
    model = _core.Model(str(GOLDEN), verify=True)
    for item in section["items"]:
        ids = np.array(item["ids"], np.int32)
        (vector,) = model.run(ids, np.array([0, len(ids)]), section["output"])
        stored = np.frombuffer(base64.b64decode(item["vector"]), "<f4")
        if file.revision == _core.NUMERICS_REVISION:
            assert vector.tobytes() == stored.tobytes(), item["text"]
        else:
            np.testing.assert_allclose(vector, stored, rtol=0, atol=1e-3)
