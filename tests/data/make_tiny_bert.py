"""Makes tests/data/tiny-bert-v1.embedrt: a random BERT of two layers, in int8.

    python tests/data/make_tiny_bert.py

The committed file must keep loading and giving the same vectors (tests/convert/test_golden_file.py). It is made again
when the file format or the numerics revision changes.
"""

import pathlib
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "convert"))

from checkpoints import write_sentence_bert  # noqa: E402

from embedrt_convert import convert  # noqa: E402

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        source = write_sentence_bert(pathlib.Path(folder) / "tiny-bert")
        convert(source, HERE / "tiny-bert-v1.embedrt", progress=print)
