"""`Model` on parts of texts: segments pooled after the whole text has run, and tokens with their places."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, overload

from embedrt._arguments import check_output, listed
from embedrt._chunkers import CHUNKERS, POOLINGS, FixedTokens
from embedrt._encode import Encoding, progress_bar
from embedrt._errors import EmbedrtError, InputError, TruncationWarning
from embedrt._model_texts import TextMethods
from embedrt._outputs import SENTENCE, TOKENS
from embedrt._results import Segments, TokenEmbeddings
from embedrt._tokenize import check_texts
from embedrt._warn import warn, warn_truncated

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from embedrt._chunkers import Chunker, Pooling, Span
    from embedrt._encode import OnLong
    from embedrt._options import SegmentOptions, TokenOptions

Spans: TypeAlias = "Iterable[Sequence[int]]"


class SegmentMethods(TextMethods):
    """Texts in, vectors of their parts out."""

    @overload
    def encode_segments(  # type: ignore[overload-overlap]  # a str is an iterable of str, too
        self, texts: str, segments: Chunker | Spans, **options: Unpack[SegmentOptions]
    ) -> Segments: ...
    @overload
    def encode_segments(
        self, texts: Iterable[str], segments: Chunker | Iterable[Spans], **options: Unpack[SegmentOptions]
    ) -> list[Segments]: ...
    def encode_segments(
        self,
        texts: str | Iterable[str],
        segments: Any,
        *,
        pooling: Pooling = "mean",
        on_long: OnLong = "late",
        prompt_name: str | None = None,
        prompt: str | None = None,
        normalize_embeddings: bool | None = None,
        truncate_dim: int | None = None,
        max_tokens: int | None = None,
        show_progress_bar: bool | None = None,
    ) -> Any:
        """Vectors of segments of texts, each made with the whole text around it (late chunking).

        A text runs once; then each segment's vector is pooled from its own tokens, and goes through what the model has
        behind its pooling. So a sentence that says "it" knows what it is. A token belongs to a segment when one of its
        characters does, white space at its ends apart; special tokens and the prompt's belong to none.

        Args:
            texts: one text, or any number of them.
            segments: where the segments are. A list of (start, end) in characters for one text, a list of such lists
                for several; they may overlap, in any order. Or a rule for all texts: "sentence", which ends behind . ?
                ! … and such before white space, behind 。！？ anywhere, and with the line, but knows no abbreviations;
                "paragraph", which ends with a blank line; or `embedrt.FixedTokens(tokens, overlap)`. A rule leaves out
                segments without a token.
            pooling: of a segment's tokens: "mean", "max", "sum", "first" or "last", whatever the model does by itself.
            on_long: what becomes of a text that is over the limit. "late" runs it whole, up to the most that the model
                takes at once, and refuses what is longer. "window" runs overlapping windows and pools each segment in
                the one that shows most of what is around it; a segment that is longer than a window is pooled in
                several, and their vectors are put together as `encode` does. "truncate" cuts the text, with a
                `TruncationWarning`: segments that do not lie wholly before the cut get rows of NaN, and `cut` names
                them. "error" refuses the text.
            prompt_name, prompt, normalize_embeddings, truncate_dim, max_tokens, show_progress_bar: as in `encode`.

        Returns:
            `Segments` for one text, with `embeddings` float32 [segments, dim] and `spans`; a list of them for several.

        Raises InputError for a segment that is empty, lies outside its text or has no token, naming it; TypeError for
        what is not a text or a span; what `encode` raises.
        """
        core, tokenizer = self._open(), self._need_tokenizer()
        from embedrt._encode_segments import SegmentEncoding

        if SENTENCE not in core.outputs():
            raise EmbedrtError("this model pools no vectors of texts, and so none of segments; see encode_tokens")
        one = isinstance(texts, str)
        several = [texts] if isinstance(texts, str) else listed(texts)
        check_texts(several)
        asked = _asked(several, segments, one)
        if pooling not in POOLINGS:
            raise InputError(f"pooling is {pooling!r}, not one of {', '.join(POOLINGS)}")
        bar = progress_bar(len(several)) if show_progress_bar else None
        call = SegmentEncoding(
            core,
            tokenizer,
            prompt=self._prompt(prompt, prompt_name),
            limits=self._limits(on_long, max_tokens),
            pooling=pooling,
            form=self._form(SENTENCE, truncate_dim, normalize_embeddings),
            advance=bar.update if bar else None,
        )
        try:
            found = call.run(several, asked)
        finally:
            if bar:
                bar.close()
        if cut := sum(len(each.cut) for each in found):
            warn(
                f"{cut} of {sum(len(each.spans) for each in found)} segments do not lie within the limit of their "
                'text: their rows are NaN, and `cut` names them. Pass on_long="window" to have them all',
                TruncationWarning,
            )
        return found[0] if one else found

    @overload
    def encode_tokens(  # type: ignore[overload-overlap]  # a str is an iterable of str, too
        self, sentences: str, **options: Unpack[TokenOptions]
    ) -> TokenEmbeddings: ...
    @overload
    def encode_tokens(self, sentences: Iterable[str], **options: Unpack[TokenOptions]) -> list[TokenEmbeddings]: ...
    def encode_tokens(
        self,
        sentences: str | Iterable[str],
        *,
        on_long: OnLong = "truncate",
        prompt_name: str | None = None,
        prompt: str | None = None,
        max_tokens: int | None = None,
        show_progress_bar: bool | None = None,
    ) -> Any:
        """Each token's vector, as `encode` with output_value="token_embeddings", its place in the text, and its id.

        Returns a `TokenEmbeddings` for one text, a list of them for several. Arguments and errors are as in `encode`.
        """
        core, tokenizer = self._open(), self._need_tokenizer()
        texts = [sentences] if isinstance(sentences, str) else listed(sentences)
        check_texts(texts)
        check_output(core, TOKENS, (SENTENCE, TOKENS))
        limits = self._limits(on_long, max_tokens)
        if on_long == "window":
            raise InputError('on_long="window" gives one vector a text; for tokens take "truncate", "error" or "late"')
        bar = progress_bar(len(texts)) if show_progress_bar else None
        call = Encoding(
            core,
            tokenizer,
            prompt=self._prompt(prompt, prompt_name),
            limits=limits,
            counted=False,
            spread=self._spread,
            advance=bar.update if bar else None,
        )
        try:
            found = [TokenEmbeddings(*each) for each in call.placed_tokens(texts)]
        finally:
            if bar:
                bar.close()
        warn_truncated(call.info(), 'max_tokens raises the limit, and on_long="late" runs a text whole')
        return found[0] if isinstance(sentences, str) else found


def _asked(texts: Sequence[str], segments: Any, one: bool) -> list[Chunker | list[Span]]:
    """What is asked of each text. Raises InputError, TypeError."""
    if isinstance(segments, str):
        if segments not in CHUNKERS:
            raise InputError(f'segments is {segments!r}; the rules are "sentence", "paragraph" and FixedTokens')
        return [segments] * len(texts)  # type: ignore[list-item]
    if isinstance(segments, FixedTokens):
        return [segments] * len(texts)
    lists = [segments] if one else list(segments)
    if len(lists) != len(texts):
        raise InputError(f"segments has {len(lists)} lists of spans for {len(texts)} texts")
    return [
        _spans(f"texts[{index}]", text, spans) for index, (text, spans) in enumerate(zip(texts, lists, strict=True))
    ]


def _spans(where: str, text: str, spans: Iterable[Sequence[int]]) -> list[Span]:
    found = []
    for index, span in enumerate(spans):
        try:
            start, end = map(operator.index, span)
        except (TypeError, ValueError):
            raise TypeError(f"{where}, segments[{index}] is {span!r}, not (start, end) in characters") from None
        if not 0 <= start < end <= len(text):
            raise InputError(f"{where}, segments[{index}] is ({start}, {end}); the text has {len(text)} characters")
        found.append((start, end))
    return found
