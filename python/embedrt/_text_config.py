"""The sections of a model file that are read as they are: what happens to a text, and notes about the file."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from embedrt._errors import FormatError
from embedrt._json import Fields, checked_text, load_object
from embedrt._retrieval_config import MultiVectorConfig, SparseConfig, parse_multi_vector, parse_sparse

MAX_PROMPTS = 64
MAX_PROMPT = 16_384
MAX_LABELS = 65_536
ACTIVATIONS = ("sigmoid", "softmax", "none")
SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")


class Pad(NamedTuple):
    """Every text's ids are filled up with `id` to `to` ids. They are content like any other: nothing masks them."""

    id: int
    to: int


class TextConfig(NamedTuple):
    """The file's `text` section: what happens to a text before the program sees its ids.

    Without `include_prompt` the prompt's tokens are not pooled. `labels` name a classifier's logits, of which
    `activation` makes scores. `sparse` and `multi_vector` are of models that give a text more than one vector.
    """

    max_tokens: int
    prompts: Mapping[str, str] = MappingProxyType({})
    default_prompt_name: str | None = None
    similarity: str = "cosine"
    pad: Pad | None = None
    include_prompt: bool = True
    labels: tuple[str, ...] | None = None
    activation: str = "none"
    sparse: SparseConfig | None = None
    multi_vector: MultiVectorConfig | None = None

    def longest(self, program_max_tokens: int) -> int:
        """The largest limit of a text that a caller may ask for, special tokens included."""
        return self.pad.to if self.pad else program_max_tokens


def parse_text_config(section: bytes | None, program_max_tokens: int, vocabulary: int) -> TextConfig:
    """Read the `text` section of a program with that limit and that many ids. Raises FormatError.

    Without a section: the program's limit and no prompts.
    """
    where = "text section"
    if section is None:
        return TextConfig(program_max_tokens)
    fields = Fields(load_object(section, where, max_depth=32), where)
    max_tokens = fields.integer("max_tokens", 1, program_max_tokens)
    prompts = fields.optional("prompts", {})
    if not isinstance(prompts, dict) or len(prompts) > MAX_PROMPTS:
        raise FormatError(f"{where}.prompts: expected an object of at most {MAX_PROMPTS} prompts")
    for name, prompt in prompts.items():
        checked_text(name, f"{where}.prompts: a name", MAX_PROMPT)
        checked_text(prompt, f"{where}.prompts[{name!r}]", MAX_PROMPT)
    default = fields.optional("default_prompt_name")
    if default is not None and (not isinstance(default, str) or default not in prompts):
        raise FormatError(f"{where}.default_prompt_name: there is no prompt {str(default)[:60]!r}")
    similarity = fields.choice("similarity", SIMILARITIES, default="cosine")
    include_prompt = fields.flag("include_prompt", default=True)
    pad = _pad(fields.optional("pad"), f"{where}.pad", max_tokens, program_max_tokens, vocabulary)
    labels, activation = _classifier(fields.optional("classifier"), f"{where}.classifier")
    sparse = parse_sparse(fields.optional("sparse"), f"{where}.sparse", vocabulary)
    multi_vector = parse_multi_vector(
        fields.optional("multi_vector"), f"{where}.multi_vector", program_max_tokens, vocabulary
    )
    fields.done()
    return TextConfig(
        max_tokens,
        MappingProxyType(prompts),
        default,
        similarity,
        pad,
        include_prompt,
        labels,
        activation,
        sparse,
        multi_vector,
    )


def _pad(value: Any, where: str, max_tokens: int, program_max_tokens: int, vocabulary: int) -> Pad | None:
    if value is None:
        return None
    fields = Fields(value, where)
    # Not below the limit: every text has the same number of ids, as the model behind expects.
    pad = Pad(fields.integer("id", 0, vocabulary - 1), fields.integer("to", max_tokens, program_max_tokens))
    fields.done()
    return pad


def _classifier(value: Any, where: str) -> tuple[tuple[str, ...] | None, str]:
    if value is None:
        return None, "none"
    fields = Fields(value, where)
    stated = fields.raw("labels")
    if stated is not None and (not isinstance(stated, list) or not 1 <= len(stated) <= MAX_LABELS):
        raise FormatError(f"{where}.labels: expected null or a list of 1 to {MAX_LABELS} names")
    labels = None if stated is None else tuple(checked_text(label, f"{where}.labels", MAX_PROMPT) for label in stated)
    activation = fields.choice("activation", ACTIVATIONS)
    fields.done()
    return labels, activation


def parse_notes(section: bytes | None, where: str) -> Mapping[str, Any]:
    """Read a section that only informs (`about`, `report`); empty when there is none. Raises FormatError."""
    return MappingProxyType({} if section is None else load_object(section, where, max_depth=32))
