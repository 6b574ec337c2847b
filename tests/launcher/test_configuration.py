"""Settings: what a command resolves, what its children get, what `lair config` prints."""

from __future__ import annotations

import json
import stat
import tomllib
from pathlib import Path

import pytest

from launcher.cli import main
from launcher.configuration import make_data_dir, resolve
from launcher.exits import RefusedError
from svckit.config import load_settings

FILE = """
log_level = "warning"
[gateway]
port = 9100
[[backends]]
name = "house"
url = "http://10.0.0.2:8000/v1"
api_key = "sk-secret"
[[backends]]
name = "cloud"
url = "https://api.example.com/v1"
api_key = "env:CLOUD_KEY"
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run `lair` with these arguments; return exit code, stdout and stderr."""
    with pytest.raises(SystemExit) as ending:
        main(arguments)
    captured = capsys.readouterr()
    return int(ending.value.code or 0), captured.out, captured.err


def test_child_resolves_what_its_parent_resolved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lair.toml").write_text(FILE)
    monkeypatch.setenv("LAIR_ROUTER__PROBE_SECONDS", "3")
    overrides = {
        "data_dir": tmp_path / "data",
        "gateway": {"port": 9200, "no_auth": True},
        "llamacpp": {"gguf": tmp_path / "a model.gguf"},
    }

    parent = resolve(None, overrides)
    monkeypatch.chdir("/")
    child = load_settings(environ=parent.environment)

    assert child == parent.settings
    assert child.gateway.port == 9200
    assert child.gateway.no_auth
    assert child.router.probe_seconds == 3
    assert child.backends[0].api_key == "sk-secret"


def test_command_line_wins_over_a_seed_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENABLE_MEMORY", "true")

    resolved = resolve(None, {"memory": {"enabled": False}})

    assert not load_settings(environ=resolved.environment).memory.enabled


def test_data_directory_is_made_for_its_user_only(tmp_path: Path) -> None:
    make_data_dir(tmp_path / "deep" / "data")

    assert stat.S_IMODE((tmp_path / "deep" / "data").stat().st_mode) == 0o700


def test_data_directory_that_cannot_be_made_is_refused_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(RefusedError, match=r"Not a directory; choose another with --data-dir"):
        make_data_dir(tmp_path / "file" / "data")


def test_check_accepts_a_good_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lair.toml").write_text(FILE)
    monkeypatch.setenv("CLOUD_KEY", "sk-cloud")

    code, out, _ = run(capsys, "config", "check")

    assert code == 0
    assert str(tmp_path / "lair.toml") in out


def test_check_names_a_key_that_the_environment_lacks_and_a_kind_that_nobody_knows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lair.toml").write_text(FILE)
    code, out, err = run(capsys, "config", "check")
    assert (code, out) == (78, "")
    assert "CLOUD_KEY" in err

    (tmp_path / "lair.toml").write_text(FILE.replace("env:CLOUD_KEY", "k") + 'kind = "opnai"\n')
    code, out, err = run(capsys, "config", "check")
    assert (code, out) == (78, "")
    assert "did you mean 'openai'?" in err


def test_check_names_a_provider_whose_prices_nobody_knows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backend = FILE.replace("env:CLOUD_KEY", "k") + 'provider = "opennai"\n'
    (tmp_path / "lair.toml").write_text(backend)
    code, out, err = run(capsys, "config", "check")
    assert (code, out) == (78, "")
    assert "no prices are known of 'opennai'; did you mean 'openai'?" in err


def test_check_names_every_problem_in_a_line_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lair.toml").write_text('[gateway]\nprot = 1\nhost = "x"\n[memory]\nindex = 7\n')

    code, out, err = run(capsys, "config", "check")

    assert (code, out) == (78, "")
    first, second = err.splitlines()
    assert "gateway.prot" in first
    assert "'port'" in first
    assert "memory.index" in second


def test_check_refuses_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "config", "check", "--config", "nowhere.toml")

    assert code == 78
    assert "nowhere.toml: cannot be read: No such file or directory" in err


def test_show_prints_a_file_that_means_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lair.toml").write_text(FILE.replace("sk-secret", "env:HOUSE_KEY"))

    code, out, _ = run(capsys, "config", "show")
    (tmp_path / "shown.toml").write_text(out)

    assert code == 0
    assert load_settings(tmp_path / "shown.toml") == load_settings(tmp_path / "lair.toml")


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_show_hides_keys_but_not_where_they_come_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    (tmp_path / "lair.toml").write_text(FILE)

    _, out, _ = run(capsys, "config", "show", *options)

    shown = json.loads(out)["settings"] if options else tomllib.loads(out)
    assert "sk-secret" not in out
    assert [backend["api_key"] for backend in shown["backends"]] == ["***", "env:CLOUD_KEY"]


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_show_hides_passwords_in_addresses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    (tmp_path / "lair.toml").write_text(
        '[[backends]]\nname = "a"\nurl = "http://ann:s3cret@10.0.0.2/v1"\n'
    )

    _, out, _ = run(capsys, "config", "show", *options)

    assert "s3cret" not in out
    assert "http://***@10.0.0.2/v1" in out


def test_show_names_the_file_it_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "other.toml").write_text(FILE)

    _, out, _ = run(capsys, "config", "show", "--json", "--config", "other.toml")

    assert json.loads(out)["file"] == str(tmp_path / "other.toml")


def test_version_is_the_installed_one(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "version")

    assert code == 0
    assert out.startswith("lair 0.")


def test_check_refuses_a_projects_policy_that_nobody_knows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lair.toml").write_text('[projects."my app"]\nmemory_policy = "some"\n')
    code, _, err = run(capsys, "config", "check")
    assert code == 78
    assert "projects.my app.memory_policy" in err
    assert "'off', 'store', 'recall' or 'full'" in err
    (tmp_path / "lair.toml").write_text('[projects."my app"]\nmemory_policy = "store"\n')
    assert run(capsys, "config", "check")[0] == 0
