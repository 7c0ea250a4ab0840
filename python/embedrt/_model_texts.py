"""`Model` on texts. Argument names and meanings follow sentence-transformers where it has them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, overload

from embedrt._arguments import check_ignored, check_output, columns, listed
from embedrt._encode import SENTENCE, TOKENS, Encoding, Output, progress_bar
from embedrt._errors import InputError
from embedrt._model_base import LoadedModel
from embedrt._tokenize import check_limit, check_texts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Unpack

    from embedrt._encode import Vectors
    from embedrt._info import EncodeInfo
    from embedrt._options import EncodeOptions


class TextMethods(LoadedModel):
    """Texts in, vectors out."""

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
        texts = [sentences] if isinstance(sentences, str) else listed(sentences)
        check_texts(texts)
        check_output(core, output_value, (SENTENCE, TOKENS))
        if on_long not in ("truncate", "error"):
            raise InputError(f'on_long is {on_long!r}, not "truncate" or "error"')
        check_ignored(batch_size, convert_to_numpy if output_value == SENTENCE else None)
        limit = self.max_tokens
        if max_tokens is not None:
            limit = check_limit(max_tokens, tokenizer.special, self._config.longest(core.max_tokens))
        dim = columns(truncate_dim, self.dim)
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
