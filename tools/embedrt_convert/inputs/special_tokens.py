"""Special tokens as tokenizer_config.json spells them: a string, an added token's fields, or a string listed apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_FLAGS = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}


def special_tokens(settings: Mapping[str, Any], roles: Mapping[str, str], **flags: bool) -> dict[str, dict[str, Any]]:
    """The fields of each role's added token, its id apart.

    `settings` is tokenizer_config.json; `roles` maps a role to the token it has by default; `flags` are a token's
    unless the settings say otherwise.
    """
    listed = {token["content"]: token for token in (settings.get("added_tokens_decoder") or {}).values()}
    found = {}
    for role, default in roles.items():
        stated = settings.get(role, default)
        token = stated if isinstance(stated, dict) else listed.get(stated, {"content": stated})
        own = {name: token[name] for name in _FLAGS if name in token}
        found[role] = {"content": token["content"], **_FLAGS, **flags, **own}
    return found
