"""What a gateway answers about memory, for the tests of who asks."""

from __future__ import annotations

from typing import Any

JULY = "2026-07-01T12:00:00Z"


def passage(number: int, text: str, **fields: Any) -> dict[str, Any]:
    return {
        "message_id": number,
        "conversation_id": "trip",
        "conversation_title": "The trip",
        "role": "user",
        "text": text,
        "created_at": JULY,
        "score": 0.91,
        "lexical_score": None,
        "dense_score": None,
        "pinned": False,
        "corrected": False,
    } | fields


def found(*passages: dict[str, Any], degraded: str | None = None) -> dict[str, Any]:
    return {"passages": list(passages), "degraded": degraded}


def conversation(name: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": name,
        "user_id": "local",
        "project": "",
        "session_id": "",
        "title": f"About {name}",
        "tags": [],
        "metadata": {},
        "created_at": JULY,
        "updated_at": JULY,
        "message_count": 0,
        "token_count": 0,
    } | fields


def page(
    *conversations: dict[str, Any], token: str | None = None, total: int = 0
) -> dict[str, Any]:
    return {
        "conversations": list(conversations),
        "next_page_token": token,
        "total_count": total or len(conversations),
    }


def message(number: int, role: str, content: Any, **fields: Any) -> dict[str, Any]:
    return {"id": number, "role": role, "content": content, "created_at": JULY} | fields


def note(number: int, text: str, **fields: Any) -> dict[str, Any]:
    return {
        "message_id": number,
        "conversation_id": "notes",
        "text": text,
        "project": "",
        "pinned": False,
        "role": "user",
        "created_at": JULY,
    } | fields


def forgotten(**fields: Any) -> dict[str, Any]:
    return {
        "preview": False,
        "messages": 0,
        "conversations": 0,
        "notes": 0,
        "recalls": 0,
        "passages": [],
    } | fields
