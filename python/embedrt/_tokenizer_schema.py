"""Rebuilds a tokenizer section from a whitelisted schema, before the tokenizers library sees any of it.

That library panics, backtracks or allocates without bound on hostile JSON, and its panics are not `Exception`s. So
a section is parsed here, every component is rebuilt from known types, fields and patterns with checked values,
every id is compared with the program's vocabulary, and only the rebuilt tokenizer goes on. The converter calls
`rebuild(...).to_json()` for what it writes; reading that back rebuilds the same, so a file's section is in
canonical form: no padding, no truncation, no decoder, and a post-processor that only says which ids stand before
and after a text.
"""

from __future__ import annotations

import json
import operator
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from embedrt import _tokenizer_models as tokenizer_models
from embedrt._errors import FormatError, is_library_failure
from embedrt._json import Fields, JsonObject, checked_integer, checked_text, load_object
from embedrt._tokenizer_parts import normalizer, pre_tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MAX_BYTES = 64 << 20
MAX_ADDED_TOKENS = 4096
MAX_ADDED_LENGTH = 256
MAX_TEMPLATE = 16
_WHERE = "tokenizer section"
_NO_MODEL = {"type": "WordLevel", "vocab": {"": 0}, "unk_token": ""}


class TokenizerParts(NamedTuple):
    """A checked tokenizer: rebuilt JSON components, and the ids that stand before and after each text."""

    added_tokens: list[JsonObject]
    normalizer: JsonObject | None
    pre_tokenizer: JsonObject | None
    model: JsonObject
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]

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
            "post_processor": _template(self.prefix, self.suffix, by_id),
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
    prefix, suffix = _affixes(fields.optional("post_processor"), f"{_WHERE}.post_processor", vocabulary)
    parts = TokenizerParts(
        added_tokens=added,
        normalizer=normalizer(fields.optional("normalizer"), f"{_WHERE}.normalizer"),
        pre_tokenizer=pre_tokenizer(fields.optional("pre_tokenizer"), f"{_WHERE}.pre_tokenizer"),
        model=model,
        prefix=prefix,
        suffix=suffix,
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


def _affixes(value: Any, where: str, vocabulary: int, depth: int = 1) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The ids before and after a single text, from any of the post-processors in use."""
    if value is None:
        return (), ()
    fields = Fields(value, where)
    kind = fields.text("type", 64)
    if kind == "ByteLevel":  # moves offsets only, which are not used here
        return (), ()
    if kind in ("BertProcessing", "RobertaProcessing"):
        ends = []
        for name in ("cls", "sep"):
            pair = fields.list(name, 2)
            if len(pair) != 2:
                raise FormatError(f"{where}.{name}: expected a token and its id")
            ends.append(checked_integer(pair[1], f"{where}.{name}", 0, vocabulary - 1))
        return (ends[0],), (ends[1],)
    if kind == "Sequence" and depth <= 4:
        found = [
            _affixes(item, f"{where}.processors[{index}]", vocabulary, depth + 1)
            for index, item in enumerate(fields.list("processors", MAX_TEMPLATE))
        ]
        found = [affixes for affixes in found if affixes != ((), ())]
        if len(found) > 1:
            raise FormatError(f"{where}: more than one of its processors adds tokens")
        return found[0] if found else ((), ())
    if kind == "TemplateProcessing":
        return _template_affixes(fields, where, vocabulary)
    raise FormatError(f"{where}: the post-processor {kind!r} is not supported")


def _template_affixes(fields: Fields, where: str, vocabulary: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    special = fields.raw("special_tokens")
    sides: list[list[int]] = [[]]
    for index, piece in enumerate(fields.list("single", MAX_TEMPLATE)):
        at = f"{where}.single[{index}]"
        item = Fields(piece, at)
        is_text = isinstance(piece, dict) and "Sequence" in piece
        inner = Fields(item.raw("Sequence" if is_text else "SpecialToken"), at)
        # The second type of token embeddings is for pairs of texts; the programs here read one text.
        inner.integer("type_id", 0, 0)
        if is_text:
            inner.choice("id", ("A",))
            sides.append([])
        else:
            name = checked_text(inner.raw("id"), at, MAX_ADDED_LENGTH)
            if not isinstance(special, dict) or name not in special:
                raise FormatError(f"{at}: the special token {name!r} is not defined")
            ids = Fields(special[name], f"{where}.special_tokens").list("ids", MAX_TEMPLATE)
            sides[-1] += [checked_integer(number, f"{where}.special_tokens", 0, vocabulary - 1) for number in ids]
        inner.done()
        item.done()
    if len(sides) != 2:
        raise FormatError(f"{where}.single: expected the text exactly once, found it {len(sides) - 1} times")
    return tuple(sides[0]), tuple(sides[1])


def _template(prefix: tuple[int, ...], suffix: tuple[int, ...], by_id: dict[int, str]) -> JsonObject | None:
    """The canonical post-processor of the given ids."""
    if not prefix and not suffix:
        return None
    names = {index: by_id.get(index, f"#{index}") for index in prefix + suffix}
    text_a, text_b = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
    before, after = ([{"SpecialToken": {"id": names[i], "type_id": 0}} for i in ids] for ids in (prefix, suffix))
    return {
        "type": "TemplateProcessing",
        "single": [*before, text_a, *after],
        "pair": [*before, text_a, *after, text_b, *after],
        "special_tokens": {name: {"id": name, "ids": [index], "tokens": [name]} for index, name in names.items()},
    }
