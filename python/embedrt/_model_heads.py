"""`Model` with a classification head: labels of texts, and scores of pairs, by which documents are ranked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from embedrt._arguments import listed
from embedrt._encode import Limits, progress_bar
from embedrt._errors import EmbedrtError, InputError
from embedrt._model_base import LoadedModel
from embedrt._outputs import LOGITS
from embedrt._text_config import ACTIVATIONS
from embedrt._tokenize import check_limit, check_texts
from embedrt._warn import warn_truncated

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedrt._info import EncodeInfo

Pair: TypeAlias = "tuple[str, str] | list[str]"
Activation: TypeAlias = Literal["sigmoid", "softmax", "none"]

_CUT_ADVICE = "max_tokens may raise the limit"


class HeadMethods(LoadedModel):
    """Texts or pairs of texts in, scores out."""

    def classify(
        self,
        texts: str | tuple[str, str] | Iterable[str] | Iterable[Pair],
        *,
        activation: Activation | None = None,
        max_tokens: int | None = None,
        show_progress_bar: bool | None = None,
        return_info: bool = False,
    ) -> Any:
        """Scores of texts, or of pairs of texts, for each label: the same whatever stands beside a text.

        Args:
            texts: one text, or one pair as a tuple of two; or any number of texts, or of pairs, each a tuple or list of
                two.
            activation: what makes scores of logits: "sigmoid", "softmax", or "none" for the logits themselves; what
                the file says when None.
            max_tokens: the limit of a text, or of a pair together, special tokens included; `Model.max_tokens` when
                None. Over it the longer text of a pair is cut first, with a `TruncationWarning` unless `return_info`
                tells it.
            show_progress_bar: show one, if tqdm is installed.
            return_info: also give back an `EncodeInfo`.

        Returns:
            float32 [texts, labels], whose columns `Model.labels` names if the file has names; [labels] for one text or
            pair. With return_info a pair of that and an `EncodeInfo`.

        Raises TypeError for what is neither a text nor a pair, naming its index; InputError for any other argument;
        EmbedrtError when the model has no classification head, or its tokenizer no template for pairs.
        """
        self._need_head()
        one = isinstance(texts, (str, tuple))
        items: list[Any] = [texts] if isinstance(texts, (str, tuple)) else listed(texts)
        scores, info = self._scores(items, activation, max_tokens, show_progress_bar, return_info)
        scores = scores[0] if one else scores
        if return_info:
            return scores, info
        warn_truncated(info, _CUT_ADVICE)
        return scores

    def rerank(
        self,
        query: str,
        documents: Sequence[str],
        *,
        top_k: int | None = None,
        return_documents: bool = False,
        activation: Activation | None = None,
        max_tokens: int | None = None,
        show_progress_bar: bool | None = None,
    ) -> list[dict[str, Any]]:
        """Documents by how well each answers the query, best first: a dict with `corpus_id` and `score` for each.

        Args:
            query: what is asked.
            documents: the texts to rank; `corpus_id` is the index of one.
            top_k: how many to give back; all when None.
            return_documents: add the document itself as `text`.
            activation, max_tokens, show_progress_bar: as in `classify`, of a query and a document together.

        Documents of equal score stay in their order. Raises TypeError for what is not a str; InputError for a model of
        several labels; what `classify` raises.
        """
        columns = self._need_head()
        if columns != 1:
            raise InputError(f"this model gives scores for {columns} labels, which rank nothing: use classify")
        if top_k is not None and (isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 1):
            raise InputError(f"top_k is {top_k!r}, not a positive number")
        if not isinstance(query, str):
            raise TypeError(f"query is a {type(query).__name__}, not a str")
        if isinstance(documents, str):
            raise TypeError("documents is a str, not several of them")
        documents = listed(documents)
        check_texts(documents)
        pairs = [(query, document) for document in documents]
        scores, info = self._scores(pairs, activation, max_tokens, show_progress_bar, False)
        warn_truncated(info, _CUT_ADVICE)
        ranked = np.argsort(-scores[:, 0], kind="stable")[:top_k].tolist()
        found: list[dict[str, Any]] = [{"corpus_id": index, "score": float(scores[index, 0])} for index in ranked]
        if return_documents:
            for each in found:
                each["text"] = documents[each["corpus_id"]]
        return found

    def _need_head(self) -> int:
        """How many labels there are."""
        core = self._open()
        if not core.vocabulary or LOGITS not in core.outputs():
            raise EmbedrtError("this model has no classification head for texts: it cannot classify or rerank them")
        return core.outputs()[LOGITS]

    def _scores(
        self,
        items: list[Any],
        activation: Activation | None,
        max_tokens: int | None,
        show_progress_bar: bool | None,
        counted: bool,
    ) -> tuple[NDArray[np.float32], EncodeInfo]:
        from embedrt._encode_logits import LogitsEncoding, PairEncoding

        core, tokenizer = self._open(), self._need_tokenizer()
        if activation is not None and activation not in ACTIVATIONS:
            raise InputError(f"activation is {activation!r}, not one of {', '.join(ACTIVATIONS)}")
        pairs = bool(items) and not isinstance(items[0], str)
        if pairs:
            _check_pairs(items)
        else:
            check_texts(items)
        limit = self.max_tokens
        if max_tokens is not None:
            special = tokenizer.pair_special if pairs else tokenizer.special
            limit = check_limit(max_tokens, special, self._config.longest(core.max_tokens))
        bar = progress_bar(len(items)) if show_progress_bar else None
        call = (PairEncoding if pairs else LogitsEncoding)(
            core,
            tokenizer,
            prompt="",
            limits=Limits("truncate", limit, self.max_tokens),
            counted=counted,
            spread=self._spread,
            advance=bar.update if bar else None,
        )
        try:
            logits = call.logits(items, core.outputs()[LOGITS])
        finally:
            if bar:
                bar.close()
        return _activated(logits, activation or self._config.activation), call.info()


def _check_pairs(items: list[Any]) -> None:
    for index, item in enumerate(items):
        if not isinstance(item, (tuple, list)) or len(item) != 2 or not all(isinstance(text, str) for text in item):
            what = f"of {len(item)}" if isinstance(item, (tuple, list)) else "alone"
            raise TypeError(f"texts[{index}] is a {type(item).__name__} {what}, not a pair of str as the first one is")


def _activated(logits: NDArray[np.float32], activation: str) -> NDArray[np.float32]:
    """Computed in float64, so that only the last rounding is float32's."""
    if activation == "none":
        return logits
    x: NDArray[np.float64] = logits.astype(np.float64)
    scores: NDArray[np.float64]
    if activation == "sigmoid":
        small = np.exp(-np.abs(x))
        scores = np.where(x >= 0, 1, small) / (1 + small)
    else:
        powers = np.exp(x - x.max(axis=1, keepdims=True))
        scores = powers / powers.sum(axis=1, keepdims=True)
    return scores.astype(np.float32)
