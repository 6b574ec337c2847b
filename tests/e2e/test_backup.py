"""`lair backup` of a lair that runs, and `lair restore` into another: everything is there."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.stack import Lair, eventually, lair_environment, lair_up, request

SAID = "The heron flew over Lisbon at noon."
KEPT = {"memory/memory.db", "metrics/metrics.db", "gateway/keys.json", "manifest.json"}


@pytest.fixture(scope="module")
def backup(llama: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A backup of a lair that ran meanwhile, with a conversation, its record and a key."""
    folder = tmp_path_factory.mktemp("kept")
    with lair_up(folder, backends={"tiny": llama}) as lair:
        lair.chat(SAID, X_Conversation_ID="birds", X_User_ID="ana")
        eventually(lambda: counted(lair) == 1, what="the request is counted")
        assert ran("keys", "create", "laptop", data=folder / "data").returncode == 0
        target = folder / "kept.zip"
        done = ran("backup", str(target), "--json", data=folder / "data")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["path"] == str(target)
        refused = ran("restore", str(target), "--replace", data=folder / "data")
        assert refused.returncode == 1
        assert "stop it first" in refused.stderr
        yield target


def ran(*words: str, data: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "launcher", *words, "--data-dir", str(data)],
        env=lair_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def counted(lair: Lair) -> int:
    requests: int = lair.get("/metrics/dashboard")["requests"]
    return requests


def conversation(lair: Lair) -> str:
    status, found = request("GET", f"{lair.url}/memory/conversations/birds?user_id=ana")
    assert status == 200, found
    text: str = found["messages"][0]["content"]
    return text


def databases(data: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in data.rglob("*.db")}


def test_another_lair_has_it_all(backup: Path, llama: str, tmp_path: Path) -> None:
    assert set(zipfile.ZipFile(backup).namelist()) >= KEPT
    done = ran("restore", str(backup), data=tmp_path / "data")
    assert done.returncode == 0, done.stderr
    assert "laptop" in ran("keys", "list", data=tmp_path / "data").stdout
    assert ran("keys", "delete", "laptop", data=tmp_path / "data").returncode == 0
    with lair_up(tmp_path, backends={"tiny": llama}) as lair:
        assert conversation(lair) == SAID
        assert counted(lair) == 1
        found = eventually(
            lambda: lair.get("/memory/search?q=heron+Lisbon", X_User_ID="ana")["passages"],
            what="the restored memory is searched",
        )
        assert found[0]["conversation_id"] == "birds"


def test_what_was_there_is_put_aside(backup: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert ran("restore", str(backup), data=data).returncode == 0
    with closing(sqlite3.connect(data / "memory" / "memory.db")) as database:
        database.execute("update conversation set title = 'mine'")
        database.commit()
    refused = ran("restore", str(backup), data=data)
    assert refused.returncode == 1
    assert "--replace" in refused.stderr
    done = ran("restore", str(backup), "--replace", "--json", data=data)
    assert done.returncode == 0, done.stderr
    aside = Path(json.loads(done.stdout)["aside"])
    assert aside.parent == data
    assert [title(aside), title(data)] == ["mine", SAID]


def title(folder: Path) -> str:
    with closing(sqlite3.connect(folder / "memory" / "memory.db")) as database:
        [(found,)] = database.execute("select title from conversation").fetchall()
    return str(found)


def test_a_damaged_backup_changes_nothing(backup: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert ran("restore", str(backup), data=data).returncode == 0
    before = databases(data)
    for name, damage in {"cut": cut, "changed": changed, "foreign": foreign}.items():
        damaged = tmp_path / f"{name}.zip"
        damage(backup, damaged)
        refused = ran("restore", str(damaged), "--replace", data=data)
        assert refused.returncode == 1, name
        assert str(damaged) in refused.stderr, name
        assert databases(data) == before, name
    assert not list(data.glob(".restoring*"))


def cut(source: Path, target: Path) -> None:
    target.write_bytes(source.read_bytes()[:-100])


def changed(source: Path, target: Path) -> None:
    """Replace a database by another one, with the manifest as it was."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, b"" if name.endswith("metrics.db") else old.read(name))


def foreign(source: Path, target: Path) -> None:
    """Have it hold a file that belongs outside the data directory."""
    shutil.copy(source, target)
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        manifest = json.loads(old.read("manifest.json"))
        manifest["files"].append({"name": "router/../../evil", "bytes": 0, "sha256": ""})
        new.writestr("manifest.json", json.dumps(manifest))
        new.writestr("router/../../evil", b"")


def test_without_data_there_is_nothing_to_keep(tmp_path: Path) -> None:
    refused = ran("backup", str(tmp_path / "kept.zip"), data=tmp_path / "none")
    assert refused.returncode == 1
    assert "--data-dir" in refused.stderr
    assert not (tmp_path / "kept.zip").exists()
