"""Settings: where they come from, which one wins, and what is said of a mistake."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from svckit.config import SEED_VARIABLES, ConfigError, find_config_file, load_settings
from svckit.settings import Backend, Settings

BACKEND = '[[backends]]\nname = "a"\nurl = "http://127.0.0.1:1/v1"\n'


@pytest.fixture(autouse=True)
def _no_file_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "settings.toml"


def load(
    toml: str = "",
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Settings:
    path = Path("given.toml") if toml else None
    if path:
        path.write_text(toml)
    return load_settings(path, environ=environ or {}, overrides=overrides)


def problem(toml: str = "", environ: Mapping[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load(toml, environ)
    return str(caught.value)


def value(settings: Settings, path: tuple[str, ...]) -> Any:
    current: Any = settings
    for part in path:
        current = getattr(current, part)
    return current


# -- where they come from ------------------------------------------------------


def test_nothing_at_all_is_enough() -> None:
    settings = load()
    assert settings.gateway.port == 8012
    assert settings.memory.enabled
    assert settings.backends == ()


def test_command_line_beats_environment_beats_file_beats_default() -> None:
    toml = "[gateway]\nport = 1001\nmax_body_mb = 1\nkeepalive_seconds = 1\n"
    environ = {"LAIR_GATEWAY__PORT": "1002", "LAIR_GATEWAY__MAX_BODY_MB": "2"}
    gateway = load(toml, environ, {"gateway": {"port": 1003}}).gateway
    assert (gateway.port, gateway.max_body_mb, gateway.keepalive_seconds) == (1003, 2, 1)
    assert gateway.drain_seconds == 30


def test_lists_and_tables_come_from_the_environment_as_json() -> None:
    backends = '[{"name": "b", "url": "http://10.0.0.1/v1", "models": ["m"]}]'
    environ = {"LAIR_BACKENDS": backends, "LAIR_GATEWAY": '{"port": 1}', "LAIR_LOG_LEVEL": "debug"}
    settings = load(BACKEND, environ)
    assert [(b.name, b.models) for b in settings.backends] == [("b", ("m",))]
    assert settings.gateway.port == 1
    assert settings.log_level == "debug"


def test_foreign_variables_are_left_alone() -> None:
    environ = {"PATH": "/bin", "LAIRD": "x", "LAIR_SUPERVISED": "1", "LAIR_API_KEY": "k"}
    assert load(environ=environ) == load()


@pytest.mark.parametrize(
    ("variable", "text", "expected"),
    [
        ("ENABLE_MEMORY", "false", False),
        ("DATABASE_PATH", "/srv/memory.db", Path("/srv/memory.db")),
        ("ENABLE_METRICS", "0", False),
        ("METRICS_BATCH_SIZE", "7", 7),
        ("ENABLE_RAG", "False", False),
        ("RAG_CONTEXT_LIMIT", "9", 9),
        ("RAG_SIMILARITY_THRESHOLD", "0.7", 0.7),
        ("EMBEDDING_MODEL", "all-mpnet-base-v2", "all-mpnet-base-v2"),
    ],
)
def test_the_seeds_variables_keep_working(variable: str, text: str, expected: object) -> None:
    path = SEED_VARIABLES[variable]
    assert value(load(), path) != expected
    assert value(load(environ={variable: text}), path) == expected


@pytest.mark.parametrize("text", ["true", "false"])
def test_the_seeds_word_for_retrieval_means_recall_as_well(text: str) -> None:
    memory = load(environ={"ENABLE_RAG": text}).memory
    assert memory.recall == memory.index == (text == "true")


def test_the_table_of_the_seeds_variables_is_complete() -> None:
    assert set(SEED_VARIABLES) == {
        *("ENABLE_MEMORY", "DATABASE_PATH", "ENABLE_METRICS", "METRICS_BATCH_SIZE", "ENABLE_RAG"),
        *("RAG_CONTEXT_LIMIT", "RAG_SIMILARITY_THRESHOLD", "EMBEDDING_MODEL"),
    }


def test_the_seeds_variables_beat_the_file_and_lairs_own_beat_them() -> None:
    toml = "[memory]\nenabled = true\ncontext_limit = 1\n"
    environ = {"ENABLE_MEMORY": "false", "RAG_CONTEXT_LIMIT": "2"}
    memory = load(toml, {**environ, "LAIR_MEMORY__CONTEXT_LIMIT": "3"}).memory
    assert (memory.enabled, memory.context_limit) == (False, 3)


def test_metrics_go_beside_the_seeds_database() -> None:
    settings = load(environ={"DATABASE_PATH": "/srv/lair.db"})
    assert settings.memory_database == Path("/srv/lair.db")
    assert settings.metrics_database == Path("/srv/lair-metrics.db")


def test_the_seeds_update_interval_is_taken_and_has_no_meaning() -> None:
    assert load(environ={"DAILY_STATS_UPDATE_INTERVAL": "3600"}) == load()
    message = problem(environ={"DAILY_STATS_UPDATE_INTERVAL": "hourly"})
    assert "DAILY_STATS_UPDATE_INTERVAL" in message
    assert "'hourly'" in message


def test_an_empty_seed_variable_is_no_setting() -> None:
    assert load(environ=dict.fromkeys(SEED_VARIABLES, "")) == load()


# -- the file ------------------------------------------------------------------


def test_the_file_is_the_one_named_else_the_one_here(tmp_path: Path, file: Path) -> None:
    assert find_config_file({}) is None
    (tmp_path / "lair.toml").write_text("[gateway]\nport = 1\n")
    file.write_text("[gateway]\nport = 2\n")
    assert load_settings(environ={}).gateway.port == 1
    assert load_settings(environ={"LAIR_CONFIG": str(file)}).gateway.port == 2
    assert load_settings(file, environ={"LAIR_CONFIG": "/nowhere"}).gateway.port == 2


def test_a_file_that_is_not_there_is_told(file: Path) -> None:
    with pytest.raises(ConfigError, match="No such file") as caught:
        load_settings(file, environ={})
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"gateway = \n", b"[gateway\n", b"a = 1\na = 2\n", b"\xff\xfe"]
)
def test_a_file_that_is_no_toml_is_told_in_one_line(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(ConfigError, match="is not valid TOML") as caught:
        load_settings(file, environ={})
    assert str(caught.value).startswith(f"{file}: ")
    assert "\n" not in str(caught.value)


# -- unknown keys --------------------------------------------------------------


@pytest.mark.parametrize(
    ("toml", "unknown", "known"),
    [
        ("log_levle = 'info'\n", "log_levle", "log_level"),
        ("[gatway]\nport = 1\n", "gatway", "gateway"),
        ("[gateway]\nprot = 1\n", "gateway.prot", "port"),
        ("[router]\ndiscovr = true\n", "router.discovr", "discover"),
        (BACKEND + "modles = ['m']\n", "backends.0.modles", "models"),
        ("[projects.x]\nmemry = 'off'\n", "projects.x.memry", "memory_policy"),
        ("[project.x]\nmemory_policy = 'off'\n", "project", "projects"),
    ],
)
def test_an_unknown_key_of_the_file_is_told_with_the_nearest(
    toml: str, unknown: str, known: str
) -> None:
    message = problem(toml)
    assert f"given.toml: unknown key '{unknown}'; did you mean '{known}'?" in message


@pytest.mark.parametrize(
    ("variable", "text", "unknown", "known"),
    [
        ("LAIR_LOGLEVEL", "info", "LAIR_LOGLEVEL", "log_level"),
        ("LAIR_GATWAY__PORT", "1", "LAIR_GATWAY__PORT", "gateway"),
        ("LAIR_GATEWAY__PROT", "1", "gateway.prot", "port"),
        ("LAIR_GATEWAY", '{"prot": 1}', "gateway.prot", "port"),
        (
            "LAIR_BACKENDS",
            '[{"name": "b", "url": "http://b", "modles": []}]',
            "backends.0.modles",
            "models",
        ),
    ],
)
def test_an_unknown_key_of_the_environment_is_told_with_the_nearest(
    variable: str, text: str, unknown: str, known: str
) -> None:
    message = problem(environ={variable: text})
    assert unknown in message
    assert f"did you mean '{known}'?" in message


def test_a_key_like_no_other_is_told_with_all_that_there_are() -> None:
    message = problem("[metrics]\nzzzzzz = 1\n")
    assert "known here: " in message
    assert "batch_size" in message


def test_every_mistake_is_told_at_once_one_in_a_line() -> None:
    message = problem("[gateway]\nprot = 1\nport = 'x'\n[memory]\ncontext_limit = 0\n")
    assert [line.split(": ")[0] for line in message.splitlines()] == ["given.toml"] * 3


# -- wrong values --------------------------------------------------------------


@pytest.mark.parametrize(
    ("toml", "key", "got"),
    [
        ("[gateway]\nport = 'eighty'\n", "gateway.port", "'eighty'"),
        ("[gateway]\nport = 70000\n", "gateway.port", "70000"),
        ("[gateway]\nkeepalive_seconds = 0\n", "gateway.keepalive_seconds", "0"),
        ("[memory]\nsimilarity_threshold = 1.5\n", "memory.similarity_threshold", "1.5"),
        ("[metrics]\ntime_zone = 'Europe/Atlantis'\n", "metrics.time_zone", "'Europe/Atlantis'"),
        ("log_level = 'loud'\n", "log_level", "'loud'"),
        ("gateway = 3\n", "gateway", "3"),
        (BACKEND.replace("http:", "ftp:"), "backends.0.url", "'ftp://127.0.0.1:1/v1'"),
    ],
)
def test_a_wrong_value_is_told_with_its_key(toml: str, key: str, got: str) -> None:
    message = problem(toml)
    assert message.startswith(f"given.toml: {key}: ")
    assert f"(got {got})" in message


def test_a_wrong_value_of_the_environment_is_not_blamed_on_the_file() -> None:
    message = problem("[gateway]\nport = 1\n", {"LAIR_GATEWAY__PORT": "eighty"})
    assert message.startswith("environment or command line: gateway.port: ")
    assert "(got 'eighty')" in message


def test_a_variable_that_should_be_json_is_told() -> None:
    message = problem(environ={"LAIR_BACKENDS": "http://127.0.0.1"})
    assert "backends" in message
    assert "JSON" in message


def test_two_backends_of_one_name_are_refused() -> None:
    assert "two backends are called 'a'" in problem(BACKEND * 2)


@pytest.mark.parametrize(
    ("toml", "environ"),
    [
        (BACKEND + "api_key = ['sk-secret']\n", {}),
        (BACKEND + "api_key = { value = 'sk-secret' }\n", {}),
        (BACKEND + "api_kye = 'sk-secret'\n", {}),
        (BACKEND + "api_key = 'sk-secret'\nmodels = 3\n", {}),
        (BACKEND + "api_key = 'sk-secret\n", {}),
        (BACKEND.replace('url = "http:', 'url = "ftp:') + "api_key = 'sk-secret'\n", {}),
        (BACKEND * 2 + "api_key = 'sk-secret'\n", {}),
        ("[backends]\na = { api_key = 'sk-secret' }\n", {}),
        ("", {"LAIR_BACKENDS": '[{"name": "b", "url": 5, "api_key": "sk-secret"}]'}),
        ("", {"LAIR_BACKENDS": '[{"name": "b", "api_key": "sk-secret"'}),
        ("", {"LAIR_BACKENDS": '{"api_key": "sk-secret"}'}),
        ("", {"LAIR_BACKENDS__0__API_KEY": "sk-secret"}),
        ("", {"LAIR_APIKEY": "sk-secret"}),
    ],
)
def test_a_key_is_in_no_message(toml: str, environ: dict[str, str]) -> None:
    assert "sk-secret" not in problem(toml, environ)


# -- what follows from them ----------------------------------------------------


def test_grpc_ports_follow_the_gateways() -> None:
    settings = load(overrides={"gateway": {"port": 9000}})
    addresses = [settings.listen(name) for name in ("router", "memory", "metrics")]
    assert addresses == ["127.0.0.1:9001", "127.0.0.1:9002", "127.0.0.1:9003"]
    assert settings.llamacpp_port == 9004


def test_a_port_that_is_set_does_not_follow() -> None:
    settings = load("[memory]\nlisten = '0.0.0.0:7000'\n[llamacpp]\nport = 7001\n")
    assert settings.listen("memory") == "0.0.0.0:7000"
    assert settings.llamacpp_port == 7001


def test_others_reach_a_service_where_it_listens_unless_told_otherwise() -> None:
    settings = load("[memory]\nlisten = '0.0.0.0:7000'\naddress = 'memory:7000'\n")
    assert settings.address("memory") == "memory:7000"
    assert settings.address("metrics") == settings.listen("metrics")


def test_databases_are_in_the_data_directory() -> None:
    settings = load(environ={"LAIR_DATA_DIR": "~/lair"})
    assert settings.data_dir == Path.home() / "lair"
    assert settings.memory_database == Path.home() / "lair" / "memory" / "memory.db"
    assert settings.metrics_database == Path.home() / "lair" / "metrics" / "metrics.db"


def test_every_setting_says_what_it_is_for() -> None:
    sections = [type(getattr(Settings(), name)) for name in Settings.model_fields]
    tables = [section for section in sections if issubclass(section, BaseModel)]
    for table in (*tables, Backend):
        for name, field in table.model_fields.items():
            assert field.description, f"{table.__name__}.{name}"
