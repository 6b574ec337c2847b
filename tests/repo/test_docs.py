"""What the documents say is what the code does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.routes import ROUTES
from lair.common.v1 import reason_pb2
from lair.memory.v1 import recall_service_pb2
from lair.metrics.v1 import report_service_pb2
from lair.router.v1 import router_service_pb2

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "docs/adr/README.md"]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("script", ["tools/gen_docs.py", "bench/report.py"])
def test_generated_pages_are_fresh(script: str) -> None:
    done = subprocess.run(
        [sys.executable, script, "--check"],
        cwd=ROOT,
        env={"PYTHONPATH": ".:gen"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    folder = (ROOT / name).parent
    links = re.findall(r"\]\(([^)#:]+)\)", text(name))
    assert links
    for link in links:
        assert (folder / link).exists(), link


def test_architecture_names_files_that_exist() -> None:
    folders = "gateway|router_svc|memory_svc|metrics_svc|launcher|svckit|protos|tests"
    named = set(re.findall(rf"`((?:{folders})/[\w/.]+)`", text("ARCHITECTURE.md")))
    assert len(named) > 15
    for path in sorted(named):
        assert (ROOT / path).exists(), path


def test_architecture_lists_the_rpcs_that_no_service_answers() -> None:
    section = text("ARCHITECTURE.md").split("## RPCs that answer UNIMPLEMENTED")[1].split("\n\n")[1]
    sources = {
        "RouterService": (router_service_pb2, "router_svc"),
        "RecallService": (recall_service_pb2, "memory_svc"),
        "ReportService": (report_service_pb2, "metrics_svc"),
    }
    for service, (module, package) in sources.items():
        code = "".join(p.read_text() for p in (ROOT / package).glob("*.py"))
        for method in module.DESCRIPTOR.services_by_name[service].methods:
            served = f"async def {method.name}(" in code
            said = re.search(rf"\b{method.name}\b", section) is not None
            assert served != said, f"{service}/{method.name}"


def test_readme_begins_with_the_two_commands() -> None:
    first_block = text("README.md").split("```")[1]
    assert [line.split("#")[0].strip() for line in first_block.strip().splitlines()] == [
        "make run",
        "make test",
    ]


def test_every_route_is_in_the_readme_or_an_alias() -> None:
    readme = text("README.md")
    paths = {route.path.replace(":.+", "").removeprefix("/v1") for route in ROUTES}
    assert [path for path in sorted(paths) if path not in readme] == []


def test_every_error_reason_is_documented() -> None:
    page = text("docs/errors.md")
    for name in reason_pb2.ErrorReason.keys()[1:]:
        assert f"`{name.removeprefix('ERROR_REASON_')}`" in page, name


def test_every_decision_is_indexed() -> None:
    index = text("docs/adr/README.md")
    for page in (ROOT / "docs" / "adr").glob("0*.md"):
        assert page.name in index
