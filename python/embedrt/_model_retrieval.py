"""`Model` on texts, where a text is more than one vector: sparse weights, a vector for each token."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypedDict, overload

from embedrt._arguments import listed
from embedrt._encode import Limits, progress_bar
from embedrt._errors import EmbedrtError, InputError
from embedrt._model_texts import TextMethods
from embedrt._outputs import MULTI, SENTENCE, SPARSE, WEIGHTS
from embedrt._retrieval_config import MultiVectorConfig, Side, SparseConfig
from embedrt._tokenize import check_limit, check_texts
from embedrt._warn import warn_truncated

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Unpack

    from embedrt._encode_retrieval import Tokens
    from embedrt._retrieval_config import Expansion
    from embedrt._sparse import Part, SparseRows

    Vectors = NDArray[np.float32]

_CUT_ADVICE = 'max_tokens raises the limit where the model takes more, and on_long="error" refuses such texts'
_DOCUMENT_PROMPTS = ("document", "passage", "corpus")


class RetrievalOptions(TypedDict, total=False):
    """Of the methods here."""

    prompt_name: str | None
    prompt: str | None
    max_tokens: int | None
    on_long: Literal["truncate", "error"]
    show_progress_bar: bool | None


class Encoded(NamedTuple):
    """What one pass over some texts gave.

    dense: float32 [texts, dim]. sparse: one row a text. multi_vector: float32 [tokens, columns] for each text.
    """

    dense: Vectors
    sparse: SparseRows
    multi_vector: list[Vectors]


class RetrievalMethods(TextMethods):
    """Texts in, sparse rows and vectors of tokens out."""

    def encode_sparse(
        self,
        sentences: str | Iterable[str],
        *,
        is_query: bool | None = None,
        max_active_dims: int | None = None,
        **options: Unpack[RetrievalOptions],
    ) -> SparseRows:
        """Texts as weights of the vocabulary's tokens (SPLADE; BGE-M3's lexical weights).

        Args:
            sentences: one text, or any number of them.
            is_query: True takes the prompt "query", False that of documents, where the file has them; None, the
                default, the file's default prompt, as `encode`.
            max_active_dims: keep this many weights of each row, the greatest; what the file says when None.
            prompt_name, prompt, max_tokens, show_progress_bar: as in `encode`.
            on_long: "truncate" cuts a text that is over the limit, with a `TruncationWarning`, "error" refuses it.

        Returns:
            `SparseRows`, one row a text, one for one text too.

        Raises EmbedrtError for a model without such an output; what `encode` raises.
        """
        output = self._need((SPARSE, WEIGHTS), "sparse weights: use encode")
        config = self._sparse(max_active_dims)
        parts = []
        for tokens, (rows,) in self._retrieve(sentences, (output,), is_query, None, options):
            parts.append(_part(output, tokens, rows, config))
        return self._joined(parts)

    @overload
    def encode_multi_vector(  # type: ignore[overload-overlap]  # a str is an iterable of str, too
        self, sentences: str, *, is_query: bool = ..., **options: Unpack[RetrievalOptions]
    ) -> Vectors: ...
    @overload
    def encode_multi_vector(
        self, sentences: Iterable[str], *, is_query: bool = ..., **options: Unpack[RetrievalOptions]
    ) -> list[Vectors]: ...
    def encode_multi_vector(
        self, sentences: str | Iterable[str], *, is_query: bool = False, **options: Unpack[RetrievalOptions]
    ) -> Any:
        """One vector for each token of a text (ColBERT; BGE-M3's), for `embedrt.maxsim`.

        Queries and documents are treated as the file says: each has its prompt and its limit, queries may be filled up
        with a token of their own, whose vectors count, and punctuation may be left out of documents.

        Args:
            sentences: one text, or any number of them.
            is_query: whether they are queries, and not documents.
            prompt_name, prompt, show_progress_bar: as in `encode`; without a prompt that of the query or document.
            max_tokens: the limit of a text here; not for queries that are cut to a fixed number of tokens.
            on_long: "truncate" cuts a text that is over the limit, with a `TruncationWarning`, "error" refuses it.

        Returns:
            A list of float32 [tokens, columns], or one of them for one text.

        Raises EmbedrtError for a model without such an output; what `encode` raises.
        """
        output = self._need((MULTI,), "vectors of tokens that are made to be compared: use encode")
        config = self._multi_vector()
        found: list[Vectors] = []
        side = config.query if is_query else config.document
        for tokens, (rows,) in self._retrieve(sentences, (output,), is_query, config, options):
            found += _texts(tokens, rows, side.skip, config.first)
        return found[0] if isinstance(sentences, str) else found

    def encode_all(
        self,
        sentences: str | Iterable[str],
        *,
        is_query: bool | None = None,
        max_active_dims: int | None = None,
        **options: Unpack[RetrievalOptions],
    ) -> Encoded:
        """`encode`, `encode_sparse` and `encode_multi_vector` in one pass (BGE-M3): each gives the same bits by itself.

        Arguments are as there; one text counts as a list of one. Raises EmbedrtError for a model that lacks one of
        the three, or treats queries and documents differently.
        """
        import numpy as np

        for names, what in (((SENTENCE,), "a vector a text"), ((SPARSE, WEIGHTS), "sparse weights")):
            self._need(names, f"{what}, so not all three")
        output = self._need((SPARSE, WEIGHTS), "sparse weights, so not all three")
        self._need((MULTI,), "vectors of tokens, so not all three")
        config, sparse = self._multi_vector(), self._sparse(max_active_dims)
        if config.expansion or config.query != config.document:
            raise EmbedrtError("this model treats queries and documents differently: use the methods for each output")
        dense: list[Vectors] = [np.empty((0, self.dim), np.float32)]
        parts: list[Part] = []
        vectors: list[Vectors] = []
        outputs = (SENTENCE, output, MULTI)
        for tokens, (one, weights, rows) in self._retrieve(sentences, outputs, is_query, None, options):
            dense.append(one)
            parts.append(_part(output, tokens, weights, sparse))
            vectors += _texts(tokens, rows, config.document.skip, config.first)
        return Encoded(np.concatenate(dense), self._joined(parts), vectors)

    def _need(self, names: tuple[str, ...], otherwise: str) -> str:
        known = self._open().outputs()
        found = next((name for name in names if name in known), None)
        if found is None:
            raise EmbedrtError(f"this model does not give {otherwise}")
        return found

    def _sparse(self, max_active_dims: int | None) -> SparseConfig:
        config = self._config.sparse or SparseConfig()
        if max_active_dims is None:
            return config
        if isinstance(max_active_dims, bool) or not isinstance(max_active_dims, int):
            raise TypeError(f"max_active_dims is a {type(max_active_dims).__name__}, not an int")
        if max_active_dims < 1:
            raise InputError(f"max_active_dims is {max_active_dims}, not a positive number")
        return config._replace(max_active_dims=max_active_dims)

    def _multi_vector(self) -> MultiVectorConfig:
        return self._config.multi_vector or MultiVectorConfig(Side(self.max_tokens), Side(self.max_tokens))

    def _joined(self, parts: Sequence[Part]) -> SparseRows:
        from embedrt._sparse import joined

        return joined(parts, self._open().vocabulary, self._need_tokenizer().token)

    def _retrieve(
        self,
        sentences: str | Iterable[str],
        outputs: Sequence[str],
        is_query: bool | None,
        config: MultiVectorConfig | None,
        options: RetrievalOptions,
    ) -> Iterator[tuple[Tokens, list[Vectors]]]:
        """The outputs for some texts after another; `config` says where queries and documents differ in ids."""
        from embedrt._encode_retrieval import RetrievalEncoding

        core, tokenizer = self._open(), self._need_tokenizer()
        texts = [sentences] if isinstance(sentences, str) else listed(sentences)
        check_texts(texts)
        expansion = config.expansion if config and is_query else None
        bar = progress_bar(len(texts)) if options.get("show_progress_bar") else None
        call = RetrievalEncoding(
            core,
            tokenizer,
            outputs=outputs,
            expansion=expansion,
            prompt=self._side_prompt(is_query, options),
            limits=self._side_limits(bool(is_query), config, expansion, options),
            counted=False,
            spread=self._spread,
            advance=bar.update if bar else None,
        )
        try:
            yield from call.run(texts)
        finally:
            if bar:
                bar.close()
        warn_truncated(call.info(), _CUT_ADVICE)

    def _side_prompt(self, is_query: bool | None, options: RetrievalOptions) -> str:
        prompt, name = options.get("prompt"), options.get("prompt_name")
        if prompt is None and name is None and is_query is not None:
            names = ("query",) if is_query else _DOCUMENT_PROMPTS
            name = next((name for name in names if name in self._config.prompts), None)
            return self._config.prompts[name] if name is not None else ""
        return self._prompt(prompt, name)

    def _side_limits(
        self, is_query: bool, config: MultiVectorConfig | None, expansion: Expansion | None, options: RetrievalOptions
    ) -> Limits:
        on_long, asked = options.get("on_long", "truncate"), options.get("max_tokens")
        if on_long not in ("truncate", "error"):
            raise InputError(f'on_long is {on_long!r}, not "truncate" or "error"')
        if config is None:
            return self._limits(on_long, asked)
        limit = (config.query if is_query else config.document).max_tokens
        if asked is not None:
            if expansion and expansion.cut:
                raise InputError(f"max_tokens is not for queries of this model, which all have {expansion.to} tokens")
            most = self._config.longest(self._open().max_tokens)
            limit = check_limit(asked, self._need_tokenizer().special, most)
        return Limits(on_long, limit, limit)


def _part(output: str, tokens: Tokens, rows: Vectors, config: SparseConfig) -> Part:
    from embedrt._sparse import of_dense, of_tokens

    if output == SPARSE:
        return of_dense(rows, config.max_active_dims)
    return of_tokens(tokens.ids, tokens.offsets, rows[:, 0], config.skip, config.max_active_dims)


def _texts(tokens: Tokens, rows: Vectors, skip: Sequence[int], first: int) -> list[Vectors]:
    """The rows of each text that are its vectors."""
    import numpy as np

    kept = ~np.isin(tokens.ids, np.array(skip, np.int32))
    spans = zip(tokens.offsets, tokens.offsets[1:], strict=False)
    return [rows[begin + first : end][kept[begin + first : end]] for begin, end in spans]
