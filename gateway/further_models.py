"""Further models that a body names to a backend which chooses among them itself. Pure.

OpenRouter takes `models`, LiteLLM its `fallbacks`. lair passes on what it does not know, so
without this a key with a list of models would reach all others there.
"""

from __future__ import annotations

import msgspec

from gateway.dialects.json_body import shown
from svckit.errors import ServiceError
from svckit.keys import ApiKey

_FIELDS = ("models", "fallbacks", "context_window_fallbacks", "content_policy_fallbacks")


def refuse_further_models(extra_json: bytes, key: ApiKey | None) -> None:
    """Raise PERMISSION_DENIED where a body names a model that its key may not use."""
    if key is None or not key.models or not extra_json:
        return
    body = msgspec.json.decode(extra_json)
    for field in _FIELDS:
        value = body.get(field)
        names = value if isinstance(value, list) else [] if value is None else [value]
        for name in names:
            if name not in key.models:
                raise ServiceError(
                    "PERMISSION_DENIED",
                    f"{field} names {shown(name)}, and the key may use: {', '.join(key.models)}",
                    field=field,
                )
