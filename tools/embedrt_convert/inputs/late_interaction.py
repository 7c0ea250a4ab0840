"""The folder of a late-interaction model (ColBERT): one vector for each token.

Three formats: sentence-transformers' MultiVectorEncoder, PyLate's, and Stanford's own (HF_ColBERT), whose settings are
in artifact.metadata. What they leave out is what sentence-transformers takes it to be.
"""

from __future__ import annotations

import dataclasses
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from embedrt._retrieval_config import Expansion, MultiVectorConfig, Side
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs.checkpoint import Dense, Module, MultiVector, Normalize, Text
from embedrt_convert.inputs.sentence_transformers import Layout, read_dense, read_modules, read_settings
from embedrt_convert.inputs.token_ids import TokenIds
from embedrt_convert.sources.files import Files

_STANFORD = "HF_ColBERT"
_METADATA = "artifact.metadata"
_PROJECTION = "linear.weight"
_KINDS = ("Dense", "MultiVectorMask", "Normalize")
_CLASSIC_LENGTH = 32  # of a query, where nothing says it


@dataclass(frozen=True)
class Rules:
    """What a folder says of queries and documents, in words; None and empty where it says nothing."""

    query_length: int | None = None
    document_length: int | None = None
    expansion: Mapping[str, Any] | None = None
    skip: tuple[str, ...] = ()
    skip_tasks: tuple[str, ...] = ("document",)
    prompts: Mapping[str, str] = dataclasses.field(default_factory=dict)  # marks that go before every text


def is_late_interaction(files: Files) -> bool:
    """Whether the folder is of one of the three formats."""
    if read_settings(files).get("model_type") in ("ColBERT", "MultiVectorEncoder"):
        return True
    return files.has("config.json") and _STANFORD in (files.json("config.json").get("architectures") or ())


def read_layout(files: Files) -> Layout:
    """The encoder's folder and the modules that are applied to its rows. Raises ConversionError."""
    if not files.has("modules.json"):
        return Layout("", (Normalize(),), head=MultiVector())
    encoder, *others = read_modules(files)
    if encoder.kind != "Transformer" or any(each.kind not in _KINDS for each in others):
        kinds = ", ".join(each.kind for each in (encoder, *others))
        raise ConversionError(
            f"modules.json in {files.label} must have a Transformer and then {', '.join(_KINDS)} for a "
            f"late-interaction model; it has {kinds}"
        )
    modules: list[Module] = []
    for each in others:
        if each.kind == "Dense":
            modules.append(read_dense(files, each.path, "token_embeddings"))
        elif each.kind == "Normalize":
            modules.append(Normalize())
    if _is_pylate(files):
        modules.append(Normalize())
    return Layout(f"{encoder.path}/" if encoder.path else "", tuple(modules), head=MultiVector())


def projected(
    tensors: Mapping[str, NDArray[Any]], modules: tuple[Module, ...]
) -> tuple[Mapping[str, NDArray[Any]], tuple[Module, ...]]:
    """Tensors and modules, with Stanford's projection, which lies among the encoder's tensors, as the first module."""
    if _PROJECTION not in tensors:
        return tensors, modules
    rest = {name: tensor for name, tensor in tensors.items() if name != _PROJECTION}
    return rest, (Dense("linear", tensors[_PROJECTION], None, "none"), *modules)


def read_text(files: Files, encoder: str, text: Text) -> Text:
    """How queries and documents are treated, for a text that the tokenizer alone has been read for.

    Raises ConversionError.
    """
    rules = _rules(files, encoder)
    tokenizer = _with_marks(text.tokenizer, rules.prompts.values())
    prompts = {
        **text.prompts,
        **{role: mark + text.prompts.get(role, "").removeprefix(mark) for role, mark in rules.prompts.items()},
    }
    ids = TokenIds(files, encoder, tokenizer)
    skip = ids.known(rules.skip)
    expansion = None if rules.expansion is None else _expansion(files, rules.expansion, ids)
    lengths = [rules.query_length, rules.document_length]
    if expansion is not None:
        lengths[0] = expansion.to if expansion.cut else max(expansion.to, rules.query_length or text.max_tokens)
    sides = []
    for task, length in zip(("query", "document"), lengths, strict=True):
        limit = text.max_tokens if length is None else length
        if type(limit) is not int or limit < 1:
            raise ConversionError(f"{files.label} limits a {task} to {limit!r} tokens; it must be a whole number")
        sides.append(Side(limit, skip if task in rules.skip_tasks else ()))
    config = MultiVectorConfig(sides[0], sides[1], expansion)
    return dataclasses.replace(text, tokenizer=tokenizer, prompts=prompts, multi_vector=config)


def _is_pylate(files: Files) -> bool:
    return read_settings(files).get("model_type") == "ColBERT"


def _rules(files: Files, encoder: str) -> Rules:
    if not files.has("modules.json"):
        return _stanford(files)
    settings = read_settings(files)
    stated = _pylate(settings)
    own = _own(files, encoder)
    masks = [each for each in read_modules(files) if each.kind == "MultiVectorMask"]
    if masks:
        stated = dataclasses.replace(stated, **_mask(files, masks[0].path))
    elif _is_pylate(files) and settings.get("skiplist_words") is None:
        stated = dataclasses.replace(stated, skip=tuple(string.punctuation))
    return dataclasses.replace(stated, **own)


def _own(files: Files, encoder: str) -> dict[str, Any]:
    """What the settings of the module Transformer say, which goes before anything else."""
    name = encoder + "sentence_bert_config.json"
    settings = files.json(name) if files.has(name) else {}
    found = {key: settings[key] for key in ("query_length", "document_length") if settings.get(key) is not None}
    if "query_expansion" in settings:
        found["expansion"] = settings["query_expansion"]
    return found


def _mask(files: Files, path: str) -> dict[str, Any]:
    settings = files.json(f"{path}/config.json")
    if settings.get("keep_only_token_ids"):
        raise ConversionError(
            f"{path}/config.json in {files.label} has keep_only_token_ids, which is for pictures: not supported"
        )
    tasks = settings.get("skiplist_tasks", ["document"])
    tasks = [tasks] if isinstance(tasks, str) else tasks
    if unknown := set(tasks) - {"query", "document"}:
        raise ConversionError(f"{path}/config.json in {files.label} has skiplist_tasks {sorted(unknown)}")
    return {"skip": tuple(settings.get("skiplist_words") or ()), "skip_tasks": tuple(tasks)}


def _pylate(settings: Mapping[str, Any]) -> Rules:
    """What PyLate writes into config_sentence_transformers.json; nothing of it is there in newer folders."""
    prefixes = (("query_prefix", "query"), ("document_prefix", "document"))
    prompts = {role: str(settings[key] or "") for key, role in prefixes if key in settings}
    attend = settings.get("attend_to_expansion_tokens", settings.get("attend_to_mask_tokens"))
    marked = prompts or any(
        key in settings
        for key in (
            *("query_length", "document_length", "do_query_expansion", "skiplist_words"),
            *("attend_to_expansion_tokens", "attend_to_mask_tokens"),
        )
    )
    length = settings.get("query_length")
    expansion = settings.get("query_expansion")
    if "query_expansion" not in settings and marked and settings.get("do_query_expansion") is not False:
        expansion = {"strategy": "fixed", "attend": bool(attend), "length": length or _CLASSIC_LENGTH}
        length = None
    skip = tuple(settings.get("skiplist_words") or ())
    return Rules(length, settings.get("document_length"), expansion, skip, prompts=prompts)


def _stanford(files: Files) -> Rules:
    said = files.json(_METADATA) if files.has(_METADATA) else {}
    length = said.get("query_maxlen") or _CLASSIC_LENGTH
    return Rules(
        document_length=said.get("doc_maxlen"),
        expansion={"strategy": "fixed", "attend": bool(said.get("attend_to_mask_tokens")), "length": length},
        skip=tuple(string.punctuation) if said.get("mask_punctuation", True) else (),
        prompts={
            "query": (said.get("query_token_id") or "[unused0]") + " ",
            "document": (said.get("doc_token_id") or "[unused1]") + " ",
        },
    )


def _expansion(files: Files, stated: Mapping[str, Any], ids: TokenIds) -> Expansion:
    strategy, length, token = (stated.get(key) for key in ("strategy", "length", "token"))
    if strategy not in ("fixed", "min") or type(length) is not int or length < 1:
        raise ConversionError(
            f"{files.label} has the query expansion {dict(stated)}; it must have the strategy 'fixed' or 'min' and a "
            "length above 0"
        )
    known = (ids.special("mask_token"),) if token is None else ids.known([token])
    if not known or known[0] is None:
        raise ConversionError(
            f"{files.label} fills queries up with {token or 'its mask token'}, which its tokenizer does not have"
        )
    return Expansion(known[0], length, strategy == "fixed", bool(stated.get("attend", False)))


def _with_marks(tokenizer: str, marks: Iterable[str]) -> str:
    """The tokenizer that finds each mark as one token where it has such a token; others are text like any other."""
    from tokenizers import AddedToken, Tokenizer

    made = Tokenizer.from_str(tokenizer)
    changed = False
    for mark in marks:
        known = [each for each in (mark, *mark.split()[:1]) if each and made.token_to_id(each) is not None]
        if known and made.encode(known[0], add_special_tokens=False).tokens != [known[0]]:
            made.add_special_tokens([AddedToken(known[0], normalized=False, special=True)])
            changed = True
    return made.to_str() if changed else tokenizer
