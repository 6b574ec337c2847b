"""Write the generated pages of docs/.

python tools/gen_docs.py           # write
python tools/gen_docs.py --check   # fail where a page is out of date
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from gateway.dialects.errors import anthropic_type
from svckit.config import SEED_VARIABLES
from svckit.cost_settings import Price
from svckit.errors import TABLE
from svckit.project_settings import Project
from svckit.settings import Backend, Settings

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"

INTRO = """# Configuration

<!-- Written by `make docs` out of svckit/settings.py; do not edit. -->

lair needs no configuration: it finds LLM servers on this machine and works. To change something,
write a `lair.toml` in the folder you start it in (or name one with `--config` or `LAIR_CONFIG`).
Every key can be set in the environment as well, which wins over the file: `[gateway] port` is
`LAIR_GATEWAY__PORT`, and `LAIR_BACKENDS` takes the whole list as JSON. The command line wins over
both. An unknown key is an error that names the nearest one. `lair config check` tells whether a
file is right, `lair config show` what is in force.

```toml
[gateway]
port = 8012

[[backends]]
name = "3090"
url = "http://192.168.1.20:8080/v1"

[[backends]]
name = "openrouter"
url = "https://openrouter.ai/api/v1"
api_key = "env:OPENROUTER_API_KEY"
priority = -1
```
"""


ERRORS = """# Errors

<!-- Written by `make docs` out of svckit/errors.py and reason.proto; do not edit. -->

Every failure has a reason of `lair.common.v1.ErrorReason`. By gRPC it is the `reason` of an
`ErrorInfo` in the domain `lair`; by HTTP it is the status and body below, in OpenAI's shape
`{"error": {"message", "type", "param", "code"}}`, and below `/v1/messages` in Anthropic's:
`{"type": "error", "error": {"type", "message"}, "request_id"}`. `x-should-retry` tells both
companies' SDKs whether to try again.

| reason | gRPC code | HTTP | type | code | Anthropic's type | retry | meaning |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""


def errors_page() -> str:
    """Return docs/errors.md."""
    proto = (ROOT / "protos/lair/common/v1/reason.proto").read_text(encoding="utf-8")
    rows = []
    for reason, meaning in TABLE.items():
        before = proto.split(f"  ERROR_REASON_{reason} = ")[0]
        comment = before[before.rindex(";") :].splitlines()
        text = " ".join(line.strip().removeprefix("// ") for line in comment[1:] if "//" in line)
        first = text.split(" // ")[0].split(" Metadata:")[0].replace(" //", "").strip()
        retry = "yes" if meaning.retry else "no"
        rows.append(
            f"| `{reason}` | {meaning.grpc.name} | {meaning.http} | {meaning.type} "
            f"| {meaning.code or '-'} | {anthropic_type(meaning.http)} | {retry} | {first} |"
        )
    return ERRORS + "\n".join(rows) + "\n"


def configuration_page() -> str:
    """Return docs/configuration.md."""
    parts = [INTRO, _table("Top level", Settings)]
    for name, field in Settings.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            parts.append(_table(f"`[{name}]`", section))
    parts += [_table("`[[backends]]`", Backend), _table("`[[prices]]`", Price)]
    parts += [_table("`[projects.<name>]`", Project), _seed_variables()]
    return "\n".join(parts)


def _table(title: str, model: type[BaseModel]) -> str:
    rows = [
        f"| `{name}` | {_type(field.annotation)} | {_default(field)} | {field.description} |"
        for name, field in model.model_fields.items()
        if field.description
    ]
    doc = (model.__doc__ or "").strip().splitlines()[0]
    head = f"## {title}\n\n{doc}\n\n| key | type | default | meaning |\n| --- | --- | --- | --- |"
    return "\n".join([head, *rows, ""])


def _type(annotation: Any) -> str:
    origin = get_origin(annotation)
    arguments = get_args(annotation)
    if origin in (Union, UnionType):
        return " or ".join(_type(a) for a in arguments if a is not type(None))
    if origin is tuple:
        return f"list of {_type(arguments[0])}"
    if origin is not None and all(isinstance(a, str) for a in arguments):
        return " or ".join(f"`{a}`" for a in arguments)
    if origin is not None:
        return _type(arguments[0])
    names = {"str": "text", "int": "integer", "float": "number", "bool": "true or false"}
    return names.get(annotation.__name__, annotation.__name__.lower())


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "the platform's" if field.default_factory else "required"
    if field.default in (None, "", ()):
        return "-"
    if isinstance(field.default, bool):
        return str(field.default).lower()
    if isinstance(field.default, tuple):
        return ", ".join(map(str, field.default))
    return f"`{field.default}`"


def _seed_variables() -> str:
    rows = [f"| `{name}` | `{'.'.join(path)}` |" for name, path in SEED_VARIABLES.items()]
    return "\n".join(
        [
            "## Older variables",
            "",
            "The names of the plan lair grew from keep working. `DATABASE_PATH` names memory's",
            "file; metrics stands beside it as `…-metrics`. `DAILY_STATS_UPDATE_INTERVAL` is",
            "accepted and has nothing left to do: daily figures are always up to date.",
            "`ENABLE_RAG` sets `memory.recall` as well.",
            "",
            "| variable | key |",
            "| --- | --- |",
            *rows,
            "",
        ]
    )


def main() -> None:
    """Write, or check, as the command line asks."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true")
    pages = {"configuration.md": configuration_page(), "errors.md": errors_page()}
    if parser.parse_args().check:
        stale = [name for name, text in pages.items() if _read(DOCS / name) != text]
        if stale:
            sys.exit(f"stale, run `make docs`: {', '.join(stale)}")
        return
    for name, text in pages.items():
        (DOCS / name).write_text(text, encoding="utf-8")


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


if __name__ == "__main__":
    main()
