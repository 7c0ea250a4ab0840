"""`Model` on texts. Argument names and meanings follow sentence-transformers where it has them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, Literal, overload

from embedrt._arguments import check_ignored, check_output, columns, listed
from embedrt._encode import Encoding, Limits, OnLong, Output, progress_bar
from embedrt._errors import InputError
from embedrt._long import WindowEncoding
from embedrt._model_base import LoadedModel
from embedrt._outputs import SENTENCE, TOKENS
from embedrt._precision import Form, Precision, checked_form
from embedrt._tokenize import check_limit, check_texts
from embedrt._warn import warn, warn_truncated

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray
    from typing_extensions import Unpack

    from embedrt._info import EncodeInfo
    from embedrt._options import EncodeOptions

CUT_ADVICE: Final = (
    'on_long="window" embeds all of a text, max_tokens raises the limit, return_info=True tells which they are'
)


class TextMethods(LoadedModel):
    """Texts in, vectors out."""

    @overload
    def encode(
        self,
        sentences: str | Iterable[str],
        *,
        output_value: Literal["sentence_embedding"] = ...,
        precision: Literal["float32"] = ...,
        return_info: Literal[False] = ...,
        **options: Unpack[EncodeOptions],
    ) -> NDArray[np.float32]: ...
    @overload
    def encode(
        self,
        sentences: str | Iterable[str],
        *,
        output_value: Output = ...,
        precision: Precision = ...,
        return_info: Literal[True],
        **options: Unpack[EncodeOptions],
    ) -> tuple[Any, EncodeInfo]: ...
    @overload
    def encode(
        self,
        sentences: str | Iterable[str],
        *,
        output_value: Output = ...,
        precision: Precision = ...,
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
        precision: Precision = "float32",
        ranges: ArrayLike | None = None,
        max_tokens: int | None = None,
        on_long: OnLong = "truncate",
        output_value: Output = SENTENCE,
        show_progress_bar: bool | None = None,
        batch_size: int | None = None,
        convert_to_numpy: bool | None = None,
        return_info: bool = False,
    ) -> Any:
        """Turn texts into vectors. The same text gives the same bits, whatever stands beside it.

        Args:
            sentences: one text, or any number of them. Lone surrogates count as U+FFFD; an empty text has its special
                tokens only.
            prompt_name: the name of one of the file's prompts, put before each text; the file's default when None.
            prompt: a prompt of your own; goes before `prompt_name`.
            normalize_embeddings: True scales sentence embeddings to unit length; a model that does so itself is not
                asked twice. None, the default, does so only where `truncate_dim` has made shorter what the model had
                scaled, and False not even there: then they are what sentence-transformers gives.
            truncate_dim: keep only the first columns of sentence embeddings; before normalising.
            precision: of sentence embeddings, see `embedrt.quantize_embeddings`; after all else.
            ranges: float32 [2, dim] for the precisions "int8" and "uint8", from `embedrt.calibration_ranges`.
            max_tokens: the limit of a text here, special tokens included; `Model.max_tokens` when None.
            on_long: what becomes of a text that is over the limit. "truncate" cuts it, with a `TruncationWarning`
                unless `return_info` tells it; "error" refuses it; "window" runs it in overlapping windows of the limit
                and gives Σ nᵢ·vᵢ / Σ nᵢ over the windows' vectors vᵢ, with nᵢ tokens of the text in window i, of unit
                length where the model's vectors are; "late" runs it whole, up to the most that the model takes at
                once, and refuses what is longer. Windows share a quarter, and have the prompt each.
            output_value: "sentence_embedding", or "token_embeddings" for one vector a token, those included that
                a text is filled up with where the model takes a fixed number.
            show_progress_bar: show one, if tqdm is installed.
            batch_size, convert_to_numpy: accepted from callers of sentence-transformers; without effect.
            return_info: also give back an `EncodeInfo`.

        Returns:
            float32 [texts, dim]; [dim] for one text. In other precisions as `embedrt.quantize_embeddings`. With
            token_embeddings a list of float32 [tokens, columns], or one of them. With return_info a pair of that and
            an `EncodeInfo`.

        Raises TypeError for what is not a str, naming its index; InputError for any other argument; EmbedrtError
        when the model is closed or a vector is not finite.
        """
        vectors, info = self._encoded(
            sentences,
            prompt_name=prompt_name,
            prompt=prompt,
            normalize_embeddings=normalize_embeddings,
            truncate_dim=truncate_dim,
            precision=precision,
            ranges=ranges,
            max_tokens=max_tokens,
            on_long=on_long,
            output_value=output_value,
            show_progress_bar=show_progress_bar,
            batch_size=batch_size,
            convert_to_numpy=convert_to_numpy,
            counted=return_info,
        )
        if return_info:
            return vectors, info
        warn_truncated(info, CUT_ADVICE)
        return vectors

    def _encoded(
        self,
        sentences: str | Iterable[str],
        *,
        prompt_name: str | None = None,
        prompt: str | None = None,
        normalize_embeddings: bool | None = None,
        truncate_dim: int | None = None,
        precision: Precision = "float32",
        ranges: ArrayLike | None = None,
        max_tokens: int | None = None,
        on_long: OnLong = "truncate",
        output_value: Output = SENTENCE,
        show_progress_bar: bool | None = None,
        batch_size: int | None = None,
        convert_to_numpy: bool | None = None,
        counted: bool = False,
    ) -> tuple[Any, EncodeInfo]:
        """`encode` without its warning. `counted` asks for the exact number of tokens that were cut off."""
        core, tokenizer = self._open(), self._need_tokenizer()
        texts = [sentences] if isinstance(sentences, str) else listed(sentences)
        check_texts(texts)
        check_output(core, output_value, (SENTENCE, TOKENS))
        check_ignored(batch_size, convert_to_numpy if output_value == SENTENCE else None)
        limits = self._limits(on_long, max_tokens)
        form = self._form(output_value, truncate_dim, normalize_embeddings, precision, ranges)
        if output_value == TOKENS and (precision != "float32" or on_long == "window"):
            raise InputError('precision and on_long="window" are for sentence_embedding, not for token_embeddings')
        bar = progress_bar(len(texts)) if show_progress_bar else None
        call = (WindowEncoding if on_long == "window" else Encoding)(
            core,
            tokenizer,
            prompt=self._prompt(prompt, prompt_name),
            limits=limits,
            counted=counted,
            spread=self._spread,
            pools_prompt=self._config.include_prompt or output_value == TOKENS,
            advance=bar.update if bar else None,
        )
        try:
            result: Any = call.tokens(texts) if output_value == TOKENS else call.sentences(texts, form)
        finally:
            if bar:
                bar.close()
        return result[0] if isinstance(sentences, str) else result, call.info()

    def encode_query(self, sentences: str | Iterable[str], **options: Any) -> Any:
        """`encode` with the prompt "query" where the file has one, and none otherwise."""
        return self._encode_as(("query",), sentences, options)

    def encode_document(self, sentences: str | Iterable[str], **options: Any) -> Any:
        """`encode` with the first of the prompts "document", "passage" and "corpus" that the file has, or none."""
        return self._encode_as(("document", "passage", "corpus"), sentences, options)

    def count_tokens(self, sentences: str | Iterable[str]) -> Any:
        """How many tokens each text has, special ones included: int64 [texts], an int for one text.

        Before any limit, and without what a model that takes a fixed number of tokens has texts filled up with.

        Prompts are not added. A text of more than 2**20 characters is counted up to there.
        """
        texts = [sentences] if isinstance(sentences, str) else listed(sentences)
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

    def _limits(self, on_long: OnLong, max_tokens: int | None) -> Limits:
        if on_long not in ("truncate", "error", "window", "late"):
            raise InputError(f'on_long is {on_long!r}, not "truncate", "error", "window" or "late"')
        most = self._config.longest(self._open().max_tokens)
        if max_tokens is not None:
            if on_long == "late":
                raise InputError(f'max_tokens is not for on_long="late", which runs texts of up to {most} tokens whole')
            return Limits(on_long, check_limit(max_tokens, self._need_tokenizer().special, most), self.max_tokens)
        return Limits(on_long, most if on_long == "late" else self.max_tokens, self.max_tokens)

    def _form(
        self,
        output: str,
        truncate_dim: int | None,
        normalize: bool | None,
        precision: Precision = "float32",
        ranges: ArrayLike | None = None,
    ) -> Form:
        """What `encode` and its like make of the vectors of that output."""
        core = self._open()
        dim = columns(truncate_dim, core.outputs()[output])
        shortened = normalize is None and dim < core.outputs()[output] and core.unit_length(output)
        return checked_form(Form(dim, bool(normalize) or shortened, precision, ranges))

    def _prompt(self, prompt: str | None, prompt_name: str | None) -> str:
        prompts = self._config.prompts
        if prompt is not None:
            if not isinstance(prompt, str):
                raise TypeError(f"prompt is a {type(prompt).__name__}, not a str")
            if prompt_name is not None:
                warn("both prompt and prompt_name are given; prompt_name is ignored")
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
