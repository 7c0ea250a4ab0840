"""The C++ extension: it reads and runs programs, and knows neither texts nor tokenizers."""

from typing import Any

import numpy as np
import numpy.typing as npt

FORMAT_VERSION: int
NUMERICS_REVISION: int

def isa() -> str:
    """The instruction set in use; EMBEDRT_ISA forces one."""

def isas() -> list[str]:
    """The instruction sets that this CPU can run."""

def default_threads() -> int:
    """The CPUs that affinity and the cgroup's quota leave to this process."""

def ops() -> list[dict[str, Any]]:
    """The op table: one dict for each op, with its id, name and attributes."""

def peak_names() -> list[str]:
    """The ceilings of this CPU that `peak` measures; cpp/program/peak.h says what they are."""

def peak(name: str, threads: int, seconds: float) -> float:
    """The best of rounds over `seconds`: multiply-adds or bytes a second, of `threads` (0: all) together.

    Under the instruction set in use. Raises InputError for an unknown name.
    """

def xxh64(data: bytes) -> int: ...

class Model:
    max_tokens: int  # 0 where the program takes no texts, as vocabulary
    vocabulary: int
    types_count: int  # token types that the program has tables for, 0 where it has none
    image_size: tuple[int, int] | None  # height and width, where the program takes images
    threads: int
    fingerprint: str
    file_size: int
    golden_revision: int
    def __init__(self, source: str | bytes, *, mmap: bool = True, verify: bool = False, threads: int = 0) -> None: ...
    def section(self, name: str) -> bytes | None:
        """A section's bytes, None where the file has none: text, tokenizer, image, about, report or golden."""

    def outputs(self) -> dict[str, int]:
        """Each output's number of columns, by name."""

    def verify(self) -> None:
        """Check the bulk, the zeros between sections and the content digest. Raises FormatError."""

    def listing(self) -> str:
        """The program, one instruction a line."""

    def tensors(self) -> list[dict[str, Any]]:
        """The tensor table: name, layout, rows, columns, size."""

    def grid(self, output: str) -> tuple[int, int, int]:
        """Of an output with a row for each place of an image: rows before the first place, lines, places of a line."""

    def work(self, tokens: int, output: str) -> int:
        """The multiply-adds of products with weights and of attention, for one output.

        Of one text of that many tokens, or of one image, whatever `tokens` is. Raises InputError for more tokens than
        the model takes, and for an unknown output.
        """

    def unit_length(self, output: str) -> bool:
        """Whether an output's rows are of length one, because the op `normalize` defines it."""

    def run(
        self,
        ids: npt.NDArray[np.int32],
        offsets: npt.NDArray[np.int64],
        output: str,
        *,
        types: npt.NDArray[np.int32] | None = None,
        attended: npt.NDArray[np.int64] | None = None,
        spans: npt.NDArray[np.int64] | None = None,
        pooling: str | None = None,
    ) -> npt.NDArray[np.float32]:
        """Run the program on ragged items: item i is ids[offsets[i]:offsets[i + 1]].

        ids int32 [n], offsets int64 [m + 1] → float32 [m, columns] for an output of segments, [n, columns] for one
        of rows.

        types int32 [n], each below types_count: the tokens' types, all 0 when None; a program without a table of types
        takes None only.
        attended int64 [m]: how many tokens of each item, from its start, attention sees, at least 1; all when None.
        spans int64 [s, 2]: rows spans[j, 0] to spans[j, 1] of ids, half open and not empty, each inside one item, and
        those of an item after those of the items before it. They are pooled instead of the items, and an output of
        segments is float32 [s, columns].
        pooling, a kind of the op `pool` (docs/format.md): goes before that of the program.

        Raises InputError for what does not fit this, EmbedrtError for a result that is not finite.
        """

    def run_outputs(
        self,
        ids: npt.NDArray[np.int32],
        offsets: npt.NDArray[np.int64],
        outputs: list[str],
        *,
        types: npt.NDArray[np.int32] | None = None,
        attended: npt.NDArray[np.int64] | None = None,
        spans: npt.NDArray[np.int64] | None = None,
        pooling: str | None = None,
    ) -> list[npt.NDArray[np.float32]]:
        """`run` for several outputs of texts in one pass, which shares the work: the same bits as one by one."""

    def run_images(self, pixels: npt.NDArray[np.uint8], output: str) -> npt.NDArray[np.float32]:
        """Run the program on images of its size.

        uint8 [n, height, width, 3], RGB → float32 [n, columns] for an output of segments, [n, rows, columns] for one of
        a grid.
        """
