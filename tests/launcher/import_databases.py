"""Databases as Open WebUI and OpenCode make them, with what the fixtures' JSON says."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.launcher.importing import FIXTURES

_OPEN_WEBUI = """
create table user (id varchar(255) primary key, name varchar, email varchar, role varchar);
create table folder (id text primary key, user_id text, name text);
create table chat (id varchar(255) primary key, user_id varchar(255), title text, chat json,
  created_at bigint, updated_at bigint, share_id text, archived boolean, pinned boolean,
  meta json default '{}', folder_id text);
insert into user values ('u-ann', 'Ann', 'ann@example.org', 'admin'),
  ('u-bob', 'Bob', 'bob@example.org', 'user');
insert into folder values ('f1', 'u-ann', 'Garden');
"""

_OPENCODE = """
create table project (id text primary key, worktree text not null, name text);
create table session (id text primary key, project_id text not null, parent_id text,
  slug text not null, directory text not null, title text not null, version text not null,
  time_created integer not null, time_updated integer not null);
create table message (id text primary key, session_id text not null,
  time_created integer not null, time_updated integer not null, data text not null);
create table part (id text primary key, message_id text not null, session_id text not null,
  time_created integer not null, time_updated integer not null, data text not null);
"""


def open_webui_database(folder: Path, *, journal: str = "delete") -> Path:
    """Make a webui.db of the chats of the fixture, and one that is torn."""
    path = folder / "webui.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"pragma journal_mode = {journal}")
        database.executescript(_OPEN_WEBUI)
        chats = json.loads((FIXTURES / "open-webui" / "chats.json").read_text())
        rows = [(c["id"], c["user_id"], c["title"], json.dumps(c["chat"]), c) for c in chats]
        rows.append(("torn", "u-ann", "Torn", '{"history": ', chats[0]))
        database.executemany(
            "insert into chat (id, user_id, title, chat, created_at, updated_at, archived,"
            " folder_id) values (?, ?, ?, ?, ?, ?, 0, ?)",
            [(*row[:4], row[4]["created_at"], row[4]["updated_at"], "f1") for row in rows],
        )
        database.commit()
    return path


def opencode_database(path: Path, storage: Path) -> Path:
    """Make an opencode.db of what is in the folders of `storage`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as database:
        database.executescript(_OPENCODE)
        sessions: dict[str, str] = {}
        for file in sorted(storage.glob("session/*/*.json")):
            facts = json.loads(file.read_text())
            database.execute(
                "insert into session values (?, ?, ?, '', ?, ?, ?, ?, ?)",
                (
                    *(facts["id"], facts["projectID"], facts.get("parentID"), facts["directory"]),
                    *(facts["title"], facts["version"], *facts["time"].values()),
                ),
            )
        for file in sorted(storage.glob("message/*/*.json")):
            sessions[file.stem] = file.parent.name
            data = json.loads(file.read_text())
            created = data["time"]["created"]
            row = (file.stem, file.parent.name, created, created, _without(data, "id", "sessionID"))
            database.execute("insert into message values (?, ?, ?, ?, ?)", row)
        for file in sorted(storage.glob("part/*/*.json")):
            message = file.parent.name
            row = (file.stem, message, sessions[message], 0, 0, file.read_text())
            database.execute("insert into part values (?, ?, ?, ?, ?, ?)", row)
        database.commit()
    return path


def _without(data: dict[str, Any], *names: str) -> str:
    return json.dumps({key: value for key, value in data.items() if key not in names})
