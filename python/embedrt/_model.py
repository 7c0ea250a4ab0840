"""`Model`: a loaded `.embedrt` file. Argument names and meanings follow sentence-transformers where it has them."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, overload

from embedrt import _core
from embedrt._encode import SENTENCE, TOKENS, Encoding, Output, progress_bar
from embedrt._errors import EmbedrtError, FormatError, InputError
from embedrt._similarity import similarity
from embedrt._text_config import parse_notes, parse_text_config
from embedrt._tokenize import TextTokenizer, check_limit, check_texts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray
    from typing_extensions import Self, Unpack

    from embedrt._encode import Vectors
    from embedrt._info import EncodeInfo, ModelInfo
    from embedrt._options import EncodeOptions


class Model:
    """A loaded model. Get one from `embedrt.load`; one model may be used by several threads at once.

    Attributes:
        dim: columns of a sentence embedding.
        max_tokens: the limit of a text, special tokens included, unless `encode` is given another.
        fingerprint: 32 hexadecimal digits that change when the vectors may; an index stores it with its vectors.
    """

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
        outputs = core.outputs()
        if SENTENCE not in outputs:
            raise FormatError(f"the program has no output {SENTENCE!r}; it has {', '.join(sorted(outputs))}")
        section = core.section("tokenizer")
        self._config = parse_text_config(core.section("text"), core.max_tokens, core.vocabulary)
        pad = self._config.pad
        self._tokenizer = TextTokenizer(section, core.vocabulary, pad) if section is not None else None
        self.dim = outputs[SENTENCE]
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
            dim=self.dim,
            vocabulary=core.vocabulary,
            fingerprint=self.fingerprint,
            threads=core.threads,
            isa=_core.isa(),
            format_version=_core.FORMAT_VERSION,
            numerics_revision=_core.NUMERICS_REVISION,
        )

    @overload
    def encode(
        self,
        sentences: str | Iterable[str],
        *,
        output_value: Literal["sentence_embedding"] = ...,
        return_info: Literal[False] = ...,
        **options: Unpack[EncodeOptions],
    ) -> NDArray[np.float32]: ...
    @overload
    def encode(
        self,
        sentences: str | Iterable[str],
        *,
        output_value: Output = ...,
        return_info: Literal[True],
        **options: Unpack[EncodeOptions],
    ) -> tuple[Any, EncodeInfo]: ...
    @overload
    def encode(
        self,
        sentences: str | Iterable[str],
        *,
        output_value: Output,
        return_info: Literal[False] = ...,
        **options: Unpack[EncodeOptions],
    ) -> Any: ...
    def encode(
        self,
        sentences: str | Iterable[str],
        *,
        prompt_name: str | None = None,
        prompt: str | None = None,
        normalize_embeddings: bool | None = None,
        truncate_dim: int | None = None,
        max_tokens: int | None = None,
        output_value: Output = SENTENCE,
        show_progress_bar: bool | None = None,
        batch_size: int | None = None,
        convert_to_numpy: bool | None = None,
        on_long: Literal["truncate", "error"] = "truncate",
        return_info: bool = False,
    ) -> Any:
        """Turn texts into vectors. The same text gives the same bits, whatever stands beside it.

        Args:
            sentences: one text, or any number of them. Lone surrogates count as U+FFFD; an empty text has its special
                tokens only.
            prompt_name: the name of one of the file's prompts, put before each text; the file's default when None.
            prompt: a prompt of your own; goes before `prompt_name`.
            normalize_embeddings: scale sentence embeddings to unit length. A model that does so itself is not asked
                twice.
            truncate_dim: keep only the first columns of sentence embeddings; before normalising, which is not done
                again unless asked for.
            max_tokens: the limit of a text here, special tokens included; `Model.max_tokens` when None.
            output_value: "sentence_embedding", or "token_embeddings" for one vector a token, those included that
                a text is filled up with where the model takes a fixed number.
            show_progress_bar: show one, if tqdm is installed.
            batch_size, convert_to_numpy: accepted from callers of sentence-transformers; without effect.
            on_long: "truncate" cuts a text that is over the limit, "error" refuses it.
            return_info: also give back an `EncodeInfo`.

        Returns:
            float32 [texts, dim]; [dim] for one text. With token_embeddings a list of float32 [tokens, columns], or
            one of them. With return_info a pair of that and an `EncodeInfo`.

        Raises TypeError for what is not a str, naming its index; InputError for any other argument; EmbedrtError
        when the model is closed or a vector is not finite.
        """
        core, tokenizer = self._open(), self._need_tokenizer()
        one = isinstance(sentences, str)
        texts = [sentences] if isinstance(sentences, str) else _listed(sentences)
        check_texts(texts)
        if output_value not in (SENTENCE, TOKENS) or output_value not in core.outputs():
            known = ", ".join(name for name in (SENTENCE, TOKENS) if name in core.outputs())
            raise InputError(f"output_value is {output_value!r}, this model has {known}")
        if on_long not in ("truncate", "error"):
            raise InputError(f'on_long is {on_long!r}, not "truncate" or "error"')
        if batch_size is not None and batch_size < 1:
            raise InputError(f"batch_size is {batch_size}, not a positive number")
        if convert_to_numpy is False and output_value == SENTENCE:
            raise InputError("convert_to_numpy=False asks for torch tensors; this model gives numpy arrays")
        limit = self.max_tokens
        if max_tokens is not None:
            limit = check_limit(max_tokens, tokenizer.special, self._config.longest(core.max_tokens))
        dim = self._columns(truncate_dim)
        bar = progress_bar(len(texts)) if show_progress_bar else None
        call = Encoding(
            core,
            tokenizer,
            prompt=self._prompt(prompt, prompt_name),
            limit=limit,
            strict=on_long == "error",
            counted=return_info,
            spread=self._spread,
            advance=bar.update if bar else None,
        )
        result: Vectors | list[Vectors]
        try:
            if output_value == TOKENS:
                result = call.tokens(texts)
            else:
                result = call.sentences(texts, dim, bool(normalize_embeddings))
        finally:
            if bar:
                bar.close()
        vectors = result[0] if one else result
        return (vectors, call.info()) if return_info else vectors

    def encode_query(self, sentences: str | Iterable[str], **options: Any) -> Any:
        """`encode` with the prompt "query" where the file has one, and none otherwise."""
        return self._encode_as(("query",), sentences, options)

    def encode_document(self, sentences: str | Iterable[str], **options: Any) -> Any:
        """`encode` with the first of the prompts "document", "passage" and "corpus" that the file has, or none."""
        return self._encode_as(("document", "passage", "corpus"), sentences, options)

    def similarity(self, a: ArrayLike, b: ArrayLike) -> NDArray[np.float32]:
        """Similarity of rows of a [n, d] and b [m, d] → float32 [n, m], by the file's measure. Larger is more alike."""
        return similarity(a, b, self._config.similarity)

    def count_tokens(self, sentences: str | Iterable[str]) -> Any:
        """How many tokens each text has, special ones included: int64 [texts], an int for one text.

        Before any limit, and without what a model that takes a fixed number of tokens has texts filled up with.

        Prompts are not added. A text of more than 2**20 characters is counted up to there.
        """
        texts = [sentences] if isinstance(sentences, str) else _listed(sentences)
        check_texts(texts)
        counts = self._need_tokenizer().count(texts)
        return int(counts[0]) if isinstance(sentences, str) else counts

    def token_ids(self, text: str) -> list[int]:
        """The ids that `encode` gives to the program for `text`: special tokens included, cut to `max_tokens`.

        Where the file has texts filled up to a fixed number of ids, so are these.
        """
        tokenizer = self._need_tokenizer()
        check_texts([text])
        ids: list[int] = tokenizer.encode([text], [tokenizer.head(text, self.max_tokens)], self.max_tokens).ids.tolist()
        return ids

    def section(self, name: str) -> bytes | None:
        """The bytes of a JSON section of the file: text, tokenizer, about, report or golden; None if there is none."""
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
        return (_reopened, (self._source, self._mmap, self._threads, self.fingerprint))

    def __repr__(self) -> str:
        import pathlib

        where = "bytes" if self._source is None else pathlib.Path(self._source).name
        state = "" if self._core else ", closed"
        return f"<embedrt.Model {where}: {self.dim} columns, {self.max_tokens} tokens, {self.fingerprint[:8]}{state}>"

    def _open(self) -> _core.Model:
        core = self._core
        if core is None:
            raise EmbedrtError("the model is closed")
        return core

    def _need_tokenizer(self) -> TextTokenizer:
        self._open()
        if self._tokenizer is None:
            raise EmbedrtError("the file has no tokenizer, so this model cannot take texts")
        return self._tokenizer

    def _columns(self, truncate_dim: int | None) -> int:
        if truncate_dim is None:
            return self.dim
        if isinstance(truncate_dim, bool) or not isinstance(truncate_dim, int):
            raise TypeError(f"truncate_dim is a {type(truncate_dim).__name__}, not an int")
        if truncate_dim < 1:
            raise InputError(f"truncate_dim is {truncate_dim}, not a positive number")
        return min(truncate_dim, self.dim)

    def _prompt(self, prompt: str | None, prompt_name: str | None) -> str:
        prompts = self._config.prompts
        if prompt is not None:
            if not isinstance(prompt, str):
                raise TypeError(f"prompt is a {type(prompt).__name__}, not a str")
            if prompt_name is not None:
                import warnings

                warnings.warn("both prompt and prompt_name are given; prompt_name is ignored", stacklevel=3)
            return prompt
        if prompt_name is None:
            return prompts[self._config.default_prompt_name] if self._config.default_prompt_name is not None else ""
        if prompt_name not in prompts:
            known = ", ".join(prompts) or "none"
            raise InputError(f"prompt_name is {prompt_name!r}; this model has {known}")
        return prompts[prompt_name]

    def _encode_as(self, names: tuple[str, ...], sentences: str | Iterable[str], options: dict[str, Any]) -> Any:
        if options.get("prompt") is None and options.get("prompt_name") is None:
            name = next((name for name in names if name in self._config.prompts), None)
            # Without such a prompt there is none: the file's default prompt is for `encode`.
            options |= {"prompt_name": name} if name is not None else {"prompt": ""}
        return self.encode(sentences, **options)


def _listed(sentences: Iterable[str]) -> list[str]:
    if isinstance(sentences, list):
        return sentences
    try:
        return list(sentences)
    except TypeError:
        raise TypeError(f"expected a str or an iterable of str, not a {type(sentences).__name__}") from None


def _reopened(source: str, mmap: bool, threads: int | None, fingerprint: str) -> Model:
    """Unpickle: load again, and insist on the same vectors."""
    model = Model(source, mmap=mmap, threads=threads)
    if model.fingerprint != fingerprint:
        raise EmbedrtError(f"{source} has the fingerprint {model.fingerprint}, the pickled model had {fingerprint}")
    return model
