"""A loaded model file: what all methods of `Model` stand on."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any

from embedrt import _core
from embedrt._errors import EmbedrtError, FormatError, InputError
from embedrt._image_config import IMAGE, LOGITS, parse_image_config
from embedrt._outputs import MAIN, SENTENCE, main_output
from embedrt._similarity import logits, similarity
from embedrt._text_config import parse_notes, parse_text_config
from embedrt._tokenize import TextTokenizer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray
    from typing_extensions import Self

    from embedrt._info import ModelInfo


class LoadedModel:
    """A loaded model file and what it says about itself. `Model` documents the attributes."""

    def __init__(
        self, source: str | bytes, *, mmap: bool = True, verify: bool = False, threads: int | None = None
    ) -> None:
        """Load from a path, or from a file's bytes. Raises FormatError, OSError."""
        if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int)):
            raise TypeError(f"threads is a {type(threads).__name__}, not an int")
        if threads is not None and not 1 <= threads <= 1024:
            raise InputError(f"threads is {threads}; give 1 to 1024, or None for all CPUs that this process may use")
        self._source = source if isinstance(source, str) else None
        self._threads = threads
        self._mmap = mmap
        self._core: _core.Model | None = _core.Model(source, mmap=mmap, verify=verify, threads=threads or 0)
        core = self._core
        # The tokenizers library knows one thread or as many as there are CPUs.
        self._spread = core.threads > 1 and (threads is None or threads >= _core.default_threads())
        self.dim = _embedding_columns(core)
        section = core.section("tokenizer")
        self._config = parse_text_config(core.section("text"), core.max_tokens, core.vocabulary)
        pad = self._config.pad
        self._tokenizer = TextTokenizer(section, core.vocabulary, pad) if section is not None else None
        self._image_config = None
        self.image_size = core.image_size
        steps = core.section("image")
        if (self.image_size is None) != (steps is None):
            raise FormatError("a program that takes images and an image section: there is one without the other")
        if self.image_size is not None and steps is not None:
            self._image_config = parse_image_config(steps, self.image_size, core.outputs().get(LOGITS))
        self.labels = self._image_config.labels if self._image_config else self._config.labels
        if self._image_config is None and self.labels is not None and len(self.labels) != core.outputs().get(LOGITS):
            raise FormatError(f"text section.classifier: {len(self.labels)} labels for {core.outputs().get(LOGITS, 0)}")
        self.max_tokens = self._config.max_tokens
        self.fingerprint = core.fingerprint
        if self._tokenizer and self.max_tokens < self._tokenizer.special:
            raise FormatError(f"text section.max_tokens: {self.max_tokens}, less than the special tokens of one text")

    @property
    def info(self) -> ModelInfo:
        """What the file says about itself, and how it runs here."""
        from embedrt._info import ModelInfo

        core = self._open()
        return ModelInfo(
            about=parse_notes(core.section("about"), "about section"),
            report=parse_notes(core.section("report"), "report section"),
            text=self._config,
            image=self._image_config,
            dim=self.dim,
            vocabulary=core.vocabulary,
            fingerprint=self.fingerprint,
            threads=core.threads,
            isa=_core.isa(),
            format_version=_core.FORMAT_VERSION,
            numerics_revision=_core.NUMERICS_REVISION,
        )

    def similarity(self, a: ArrayLike, b: ArrayLike) -> NDArray[np.float32]:
        """Similarity of rows of a [n, d] and b [m, d] → float32 [n, m], by the file's measure. Larger is more alike.

        Where the file has a logit_scale (CLIP, SigLIP), logit_scale · cosine + logit_bias.
        """
        config = self._image_config
        if config is None:
            return similarity(a, b, self._config.similarity)
        scores = similarity(a, b, config.similarity)
        if config.logit_scale is None:
            return scores
        return logits(scores, config.logit_scale, config.logit_bias)

    def section(self, name: str) -> bytes | None:
        """The bytes of a JSON section: text, tokenizer, image, about, report or golden; None if there is none."""
        return self._open().section(name)

    def close(self) -> None:
        """Let go of the file. Calls that are running end as usual; later ones raise EmbedrtError."""
        self._core = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        if self._source is None:
            raise TypeError("a model loaded from bytes cannot be pickled; load it from a path")
        return (_reopened, (type(self), self._source, self._mmap, self._threads, self.fingerprint))

    def __repr__(self) -> str:
        import pathlib

        where = "bytes" if self._source is None else pathlib.Path(self._source).name
        state = "" if self._core else ", closed"
        takes = [f"{self.max_tokens} tokens"] if self.max_tokens else []
        if self.image_size is not None:
            takes.append("images of {} x {}".format(*self.image_size))
        return f"<embedrt.Model {where}: {self.dim} columns, {', '.join(takes)}, {self.fingerprint[:8]}{state}>"

    def _open(self) -> _core.Model:
        core = self._core
        if core is None:
            raise EmbedrtError("the model is closed")
        return core

    def _need_tokenizer(self) -> TextTokenizer:
        if not self._open().vocabulary:
            raise EmbedrtError("this model takes images, not texts: use encode_image")
        if self._tokenizer is None:
            raise EmbedrtError("the file has no tokenizer, so this model cannot take texts")
        return self._tokenizer


def _embedding_columns(core: _core.Model) -> int:
    """The columns of what a file is for: of texts, of images, equally wide where it takes both. Raises FormatError."""
    outputs = core.outputs()
    names = [(main_output(outputs) if core.image_size is None else SENTENCE)] if core.vocabulary else []
    if core.image_size is not None:
        names.append(IMAGE)
    columns = {outputs.get(name) if name else None for name in names}
    if None in columns or len(columns) != 1:
        raise FormatError(
            f"a program needs one of the outputs {', '.join(MAIN)} if it takes texts, {IMAGE} if it takes images, and "
            f"{SENTENCE} and {IMAGE}, equally wide, if it takes both; "
            f"this one has {', '.join(f'{name} [{size}]' for name, size in sorted(outputs.items()))}"
        )
    return int(columns.pop())  # type: ignore[arg-type]


def _reopened(kind: type[LoadedModel], source: str, mmap: bool, threads: int | None, fingerprint: str) -> LoadedModel:
    """Unpickle: load again, and insist on the same vectors."""
    model = kind(source, mmap=mmap, threads=threads)
    if model.fingerprint != fingerprint:
        raise EmbedrtError(f"{source} has the fingerprint {model.fingerprint}, the pickled model had {fingerprint}")
    return model
