"""Rebuilds a tokenizer section from a whitelisted schema, before the tokenizers library sees any of it.

That library panics, backtracks or allocates without bound on hostile JSON, and its panics are not `Exception`s. So
a section is parsed here, every component is rebuilt from known types, fields and patterns with checked values,
every id is compared with the program's vocabulary, and only the rebuilt tokenizer goes on. The converter calls
`rebuild(...).to_json()` for what it writes; reading that back rebuilds the same, so a file's section is in
canonical form: no padding, no truncation, no decoder, and a post-processor that only says which ids stand around a
text or two, and whose offsets are trimmed.
"""

from __future__ import annotations

import json
import operator
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from embedrt import _tokenizer_models as tokenizer_models
from embedrt._errors import FormatError, is_library_failure
from embedrt._json import Fields, JsonObject, load_object
from embedrt._tokenizer_parts import normalizer, pre_tokenizer
from embedrt._tokenizer_templates import Ids, Template, read_template, write_template

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MAX_BYTES = 64 << 20
MAX_ADDED_TOKENS = 16_384  # Gemma has some six thousand
MAX_ADDED_LENGTH = 256
_WHERE = "tokenizer section"
_NO_MODEL = {"type": "WordLevel", "vocab": {"": 0}, "unk_token": ""}


class TokenizerParts(NamedTuple):
    """A checked tokenizer: rebuilt JSON components, and the ids that stand around each text."""

    added_tokens: list[JsonObject]
    normalizer: JsonObject | None
    pre_tokenizer: JsonObject | None
    model: JsonObject
    template: Template

    @property
    def prefix(self) -> Ids:
        """The ids before a single text."""
        return self.template.prefix

    @property
    def suffix(self) -> Ids:
        """The ids after a single text."""
        return self.template.suffix

    def to_json(self) -> str:
        """The canonical JSON of the section; `tokenizers.Tokenizer.from_str` accepts it too."""
        return json.dumps(self._tree(), ensure_ascii=False, separators=(",", ":"))

    def _tree(self) -> JsonObject:
        by_id = {token["id"]: token["content"] for token in self.added_tokens}
        return {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": self.added_tokens,
            "normalizer": self.normalizer,
            "pre_tokenizer": self.pre_tokenizer,
            "post_processor": write_template(self.template, by_id),
            "decoder": None,
            "model": self.model,
        }

    def build(self) -> Tokenizer:
        """The library's tokenizer: without padding, truncation and special ids. Raises FormatError."""
        from tokenizers import AddedToken, Tokenizer

        try:
            # The shell without a vocabulary, then the model: no larger piece of JSON is written or read.
            shell = {**self._tree(), "added_tokens": [], "post_processor": None, "model": _NO_MODEL}
            tokenizer = Tokenizer.from_str(json.dumps(shell))
            tokenizer.model = tokenizer_models.build(self.model)
            for special, tokens in groupby(self.added_tokens, operator.itemgetter("special")):
                # All of a kind at once: every call makes the library prepare its search for them again.
                add = tokenizer.add_special_tokens if special else tokenizer.add_tokens
                add([AddedToken(**{name: value for name, value in token.items() if name != "id"}) for token in tokens])
        except BaseException as error:
            if is_library_failure(error):
                raise FormatError(f"{_WHERE}: the tokenizers library refuses it: {error}") from None
            raise
        for token in self.added_tokens:
            if tokenizer.token_to_id(token["content"]) != token["id"]:
                raise FormatError(f"{_WHERE}: the added token {token['content']!r} does not get the id {token['id']}")
        return tokenizer


def rebuild(section: bytes, vocabulary: int) -> TokenizerParts:
    """Parse and check a tokenizer section for a program of `vocabulary` ids. Raises FormatError."""
    if len(section) > MAX_BYTES:
        raise FormatError(f"{_WHERE}: {len(section)} bytes, at most {MAX_BYTES} are accepted")
    fields = Fields(load_object(section, _WHERE), _WHERE)
    fields.optional("version")
    for unused in ("truncation", "padding", "decoder"):
        fields.optional(unused)
    model, known = tokenizer_models.rebuild(fields.raw("model"), f"{_WHERE}.model", vocabulary)
    added = _added_tokens(fields, known, vocabulary)
    template = read_template(fields.optional("post_processor"), f"{_WHERE}.post_processor", vocabulary)
    parts = TokenizerParts(
        added_tokens=added,
        normalizer=normalizer(fields.optional("normalizer"), f"{_WHERE}.normalizer"),
        pre_tokenizer=pre_tokenizer(fields.optional("pre_tokenizer"), f"{_WHERE}.pre_tokenizer"),
        model=model,
        template=template,
    )
    fields.done()
    return parts


def _added_tokens(fields: Fields, known: dict[str, int], vocabulary: int) -> list[JsonObject]:
    tokens: list[JsonObject] = []
    taken: set[str] = set()
    # The library gives a token that the model does not know the next free id, whatever the file says.
    next_id = len(known)
    for index, value in enumerate(fields.list("added_tokens", MAX_ADDED_TOKENS)):
        item = Fields(value, f"{_WHERE}.added_tokens[{index}]")
        token: JsonObject = {"id": item.integer("id", 0, vocabulary - 1)}
        token["content"] = content = item.text("content", MAX_ADDED_LENGTH, 1)
        for name in ("single_word", "lstrip", "rstrip", "normalized", "special"):
            token[name] = item.flag(name)
        item.done()
        if content in taken:
            raise FormatError(f"{item.where}: {content!r} occurs twice")
        taken.add(content)
        expected = known.get(content, next_id)
        if token["id"] != expected:
            raise FormatError(f"{item.where}: {content!r} has the id {token['id']}, expected {expected}")
        next_id += content not in known
        tokens.append(token)
    return tokens
