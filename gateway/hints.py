"""What a request wishes for beyond its body: routing, memory and tracing headers.

Pure. A value that cannot be understood is refused by its header's name; guessing
could send a prompt out of the house. A key and the settings of a project say what is done
where nothing is wished for, and how far wishes go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gateway.dialects.json_extra import INT32_MAX
from gateway.identity import header_value
from lair.router.v1.chat_pb2 import (
    MEMORY_POLICY_FULL,
    MEMORY_POLICY_OFF,
    MEMORY_POLICY_RECALL,
    MEMORY_POLICY_STORE,
    MEMORY_POLICY_UNSPECIFIED,
    MemoryHints,
    MemoryPolicy,
    RouteHints,
)
from svckit.errors import invalid_field
from svckit.keys import ApiKey

FLAGS = {"true": True, "1": True, "false": False, "0": False}
# At the end of a model's name, for clients that cannot set a header.
MEMORY_SUFFIX = ":memory"
# The best first.
_PRIORITIES = ("interactive", "agent", "batch")
_POLICIES = {
    "off": MEMORY_POLICY_OFF,
    "store": MEMORY_POLICY_STORE,
    "recall": MEMORY_POLICY_RECALL,
    "full": MEMORY_POLICY_FULL,
}
_ALLOWS = {
    "off": frozenset[str](),
    "store": frozenset({"store"}),
    "recall": frozenset({"recall"}),
    "full": frozenset({"store", "recall"}),
}


def read_route_hints(headers: Mapping[str, str], key: ApiKey | None = None) -> RouteHints:
    """Read where the request may go, and the class it waits in."""
    return RouteHints(
        backend=header_value(headers, "X-Provider"),
        model=header_value(headers, "X-Model"),
        local_only=read_flag(headers, "X-Local-Only") or False,
        max_context_tokens=_read_max_context(headers),
        priority=_permitted_priority(_read_priority(headers), key),
        permitted_models=key.models if key else (),
    )


def read_memory_hints(
    headers: Mapping[str, str], standing: str = "", *, model: str = ""
) -> MemoryHints:
    """Read what may be remembered of the request for `model`, its name as it was sent.

    Where it does not say, that is the `standing` policy. What that forbids is another
    matter: `forbids_memory`.
    """
    policy = _wished_policy(headers)
    if policy is None and model.endswith(MEMORY_SUFFIX):
        policy = MEMORY_POLICY_FULL
    if policy is None:
        policy = _POLICIES.get(standing, MEMORY_POLICY_UNSPECIFIED)
    return MemoryHints(conversation_id=read_conversation(headers), policy=policy)


def read_conversation(headers: Mapping[str, str]) -> str:
    """Read which conversation the request belongs to; empty if no header says so."""
    return header_value(headers, "X-Conversation-ID")


def standing_policy(policies: Iterable[str]) -> str:
    """Return what all of the policies allow that say anything; empty if none does."""
    allowed = [_ALLOWS[policy] for policy in policies if policy]
    if not allowed:
        return ""
    common = frozenset.intersection(*allowed)
    return next(policy for policy, parts in _ALLOWS.items() if parts == common)


def add_memory_hints(said: MemoryHints, wished: MemoryHints) -> None:
    """Put on what a body says of memory what is wished for beyond it.

    A conversation that the body names stays, and what it wants to be forgotten is not
    kept: of all memory it may have recall.
    """
    said.conversation_id = said.conversation_id or wished.conversation_id
    if wished.policy == MEMORY_POLICY_UNSPECIFIED:
        return
    if said.policy != MEMORY_POLICY_OFF:
        said.policy = wished.policy
    elif wished.policy in (MEMORY_POLICY_RECALL, MEMORY_POLICY_FULL):
        said.policy = MEMORY_POLICY_RECALL


def read_untraced(headers: Mapping[str, str]) -> bool:
    """Tell whether the request asks to leave no trace."""
    return read_flag(headers, "X-Enable-Tracing") is False


def read_flag(headers: Mapping[str, str], name: str) -> bool | None:
    """Read a header that is true or false; None if it is absent."""
    value = header_value(headers, name)
    if not value:
        return None
    if value.lower() not in FLAGS:
        raise invalid_field(name, f"the header {name} is {value!r}; send true, false, 1 or 0")
    return FLAGS[value.lower()]


def _wished_policy(headers: Mapping[str, str]) -> MemoryPolicy.ValueType | None:
    """Read what memory is to do; None if no header says so. Of two, "off" wins."""
    wanted = read_flag(headers, "X-Enable-Memory")
    name = header_value(headers, "X-Memory-Policy").lower()
    if name and name not in _POLICIES:
        raise invalid_field(
            "X-Memory-Policy",
            f"the header X-Memory-Policy is {name!r}; send {', '.join(_POLICIES)}",
        )
    if wanted is False:
        return MEMORY_POLICY_OFF
    if name:
        return _POLICIES[name]
    return MEMORY_POLICY_FULL if wanted else None


def _permitted_priority(wished: str, key: ApiKey | None) -> str:
    """Return the class to wait in: the key's where none or a better one is wished for."""
    own = key.priority if key else ""
    if not (own and wished):
        return wished or own
    return max(wished, own, key=_PRIORITIES.index)


def _read_priority(headers: Mapping[str, str]) -> str:
    """Read the class a request waits in; empty for the default one."""
    value = header_value(headers, "X-Priority")
    if value and value.lower() not in _PRIORITIES:
        classes = ", ".join(_PRIORITIES)
        raise invalid_field("X-Priority", f"the header X-Priority is {value!r}; send {classes}")
    return value.lower()


def _read_max_context(headers: Mapping[str, str]) -> int:
    """Read how many tokens a prompt may have; 0 for as many as the model takes."""
    value = header_value(headers, "X-Max-Context")
    if not value:
        return 0
    if not (value.isascii() and value.isdecimal() and 1 <= int(value) <= INT32_MAX):
        raise invalid_field(
            "X-Max-Context",
            f"the header X-Max-Context is {value!r}; send a whole number of tokens from 1",
        )
    return int(value)
