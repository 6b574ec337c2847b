"""What `lair memory` and `lair mcp` ask of a running lair, by REST."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import quote, urlencode

from launcher.ask import answer
from svckit.settings import Settings

Json: TypeAlias = Mapping[str, Any]

_LIMIT_SECONDS = 20.0
# Years of conversations go at once.
_FORGET_SECONDS = 130.0
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Memory:
    """The memory of a running lair.

    `user` empty is the key's own user. Without one, lists are about everybody, and all
    else about the default user: so it is for the owner of the machine. Every method raises
    `CommandFailedError`.
    """

    settings: Settings
    user: str = ""

    def search(self, question: Json) -> Json:
        """Return passages for a question, as `POST /memory/search` takes it."""
        return self._ask("/memory/search", body=_said(question))

    def conversations(self, query: Json) -> Json:
        """Return a page of conversations, the most recently changed first."""
        return self._ask("/memory/conversations", query=query)

    def all_conversations(self, query: Json) -> Iterator[Json]:
        """Yield every conversation and, under `total_count`, how many there are."""
        for page in self._pages("/memory/conversations", {**query, "limit": _PAGE}):
            for conversation in page["conversations"]:
                yield {**conversation, "total_count": page["total_count"]}

    def conversation(self, name: str) -> Json:
        """Return one conversation with all its messages."""
        return self._ask(f"/memory/conversations/{quote(name, safe='')}")

    def stats(self) -> Json:
        """Return how much is kept, and how far its index is."""
        return self._ask("/memory/stats")

    def notes(self, query: Json) -> list[Json]:
        """Return all notes and pinned messages, the latest first."""
        pages = self._pages("/memory/notes", {**query, "limit": _PAGE})
        return [note for page in pages for note in page["notes"]]

    def remember(self, note: Json) -> Json:
        """Keep a text, as `POST /memory/notes` takes it."""
        return self._ask("/memory/notes", body=_said(note))

    def change(self, message_id: int, change: Json) -> Json:
        """Pin, unpin or correct a message, as `PATCH /memory/messages/{id}` takes it."""
        return self._ask(f"/memory/messages/{message_id}", body=change, method="PATCH")

    def forget(self, target: Json, *, preview: bool) -> Json:
        """Forget what `POST /memory/forget` takes, or tell what that would be."""
        wish = {**target, "preview": preview}
        return self._ask("/memory/forget", body=wish, seconds=_FORGET_SECONDS)

    def _pages(self, path: str, query: Json) -> Iterator[Json]:
        token: str | None = ""
        while token is not None:
            page = self._ask(path, query={**query, "page_token": token})
            yield page
            token = page["next_page_token"]

    def _ask(
        self,
        path: str,
        *,
        query: Json | None = None,
        body: Json | None = None,
        method: str = "",
        seconds: float = _LIMIT_SECONDS,
    ) -> Json:
        asked = _said({**(query or {}), "user_id": self.user})
        target = f"{path}?{urlencode(asked, doseq=True)}" if asked else path
        found: Json = answer(self.settings, target, body, seconds=seconds, method=method)
        return found


def _said(values: Json) -> dict[str, Any]:
    """Leave out what nothing was said of."""
    return {name: value for name, value in values.items() if value not in ("", None, (), [], False)}
