"""Special and other added tokens as a folder spells them: strings, an added token's fields, or strings listed apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from embedrt_convert.errors import ConversionError

_FLAGS = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}


def special_tokens(settings: Mapping[str, Any], roles: Mapping[str, str], **flags: bool) -> dict[str, dict[str, Any]]:
    """The fields of each role's added token, its id apart; a role that is null has none.

    `settings` is tokenizer_config.json; `roles` maps a role to the token it has by default; `flags` are a token's
    unless the settings say otherwise.
    """
    listed = {token["content"]: token for token in (settings.get("added_tokens_decoder") or {}).values()}
    found = {}
    for role, default in roles.items():
        stated = settings.get(role, default)
        if stated is not None:
            token = stated if isinstance(stated, dict) else listed.get(stated, {"content": stated})
            found[role] = _token(token, flags)
    return found


def added_tokens(
    settings: Mapping[str, Any], roles: Iterable[Mapping[str, Any]], more: Iterable[str], ids: Mapping[str, int]
) -> list[dict[str, Any]]:
    """All added tokens by their ids: those that tokenizer_config.json lists, those of roles, and `more` by name.

    `ids` are those of the model's own tokens; others get the next free ones in this order, as transformers does it.
    Raises ConversionError where tokenizer_config.json says otherwise.
    """
    listed = {int(index): token for index, token in (settings.get("added_tokens_decoder") or {}).items()}
    extra = settings.get("extra_special_tokens") or settings.get("additional_special_tokens") or []
    tokens: dict[str, dict[str, Any]] = {}
    for token in [*(listed[index] for index in sorted(listed)), *roles, *extra, *more]:
        token = _token(token if isinstance(token, Mapping) else {"content": str(token)}, {})
        tokens.setdefault(token["content"], token)
    numbers = {token["content"]: index for index, token in listed.items()}
    free = len(ids)
    found = []
    for content, token in tokens.items():
        index = ids.get(content, free)
        free += content not in ids
        if numbers.get(content, index) != index:
            raise ConversionError(
                f"tokenizer_config.json gives {content!r} the id {numbers[content]}, the vocabulary {index}"
            )
        found.append({"id": index, **token})
    return sorted(found, key=lambda token: int(token["id"]))


def ends_template(
    settings: Mapping[str, Any], roles: Mapping[str, Mapping[str, Any]], ids: Mapping[str, int]
) -> dict[str, Any]:
    """The post-processor of the ends that `add_bos_token` and `add_eos_token` ask for; each of two texts has its own.

    Raises ConversionError when one of them has no id.
    """
    first, last = (
        [str(roles[role]["content"])] if settings.get(f"add_{role}") and role in roles else []
        for role in ("bos_token", "eos_token")
    )
    if missing := [name for name in first + last if name not in ids]:
        raise ConversionError(f"tokenizer_config.json adds {missing[0]}, which the tokenizer does not know")
    one, two = ([template_piece(name, kind) for name in [*first, text, *last]] for kind, text in enumerate("AB"))
    return {
        "type": "TemplateProcessing",
        "single": one,
        "pair": one + two,
        "special_tokens": {name: {"id": name, "ids": [ids[name]], "tokens": [name]} for name in first + last},
    }


def template_piece(name: str, kind: int = 0) -> dict[str, Any]:
    """A text, "A" or "B", or a special token in a template."""
    return {"Sequence" if name in ("A", "B") else "SpecialToken": {"id": name, "type_id": kind}}


def with_legacy_files(
    settings: Mapping[str, Any], named: Mapping[str, Any], added: Mapping[str, int]
) -> dict[str, Any]:
    """tokenizer_config.json with what special_tokens_map.json and added_tokens.json say, unless it lists all itself."""
    if "added_tokens_decoder" in settings:
        return dict(settings)
    merged = {**settings, **named}
    special = {
        token["content"] if isinstance(token, dict) else token
        for value in merged.values()
        for token in (value if isinstance(value, list) else [value])
        if isinstance(token, str) or (isinstance(token, dict) and "content" in token)
    }
    merged["added_tokens_decoder"] = {
        str(index): {"content": token, "normalized": token not in special, "special": token in special}
        for token, index in added.items()
    }
    return merged


def _token(token: Mapping[str, Any], flags: Mapping[str, bool]) -> dict[str, Any]:
    own = {name: token[name] for name in _FLAGS if name in token}
    return {"content": token["content"], **_FLAGS, **flags, **own}
