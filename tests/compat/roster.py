"""The clients that are tried, and where each of them lives.

Their exact versions stand in `requirements/*.txt` and `node/package-lock.json`. Clients
that cannot live together have environments apart, which the Makefile makes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
SCRIPTS = HERE / "clients"
NODE = HERE / "node"
ENVIRONMENTS = ROOT / ".venv-compat"

_NODE = "node"
_SUITE = ("-m", "pytest", "-q", "-c", "langchain.ini", "-p", "suite_report", "langchain_suite.py")


@dataclass(frozen=True, slots=True)
class Client:
    """A client: the package whose version counts, its environment, and what is run there."""

    name: str
    package: str
    environment: str
    arguments: tuple[str, ...]

    @property
    def is_python(self) -> bool:
        """Whether it is one of those that `make test` tries too."""
        return self.environment != _NODE

    @property
    def command(self) -> list[str]:
        """What is run, in `folder`."""
        program = self._python.as_posix() if self.is_python else _NODE
        return [program, *self.arguments]

    @property
    def folder(self) -> Path:
        """Where it is run."""
        return SCRIPTS if self.is_python else NODE

    @property
    def version(self) -> str:
        """The version that is installed; fails where there is none."""
        if self.is_python:
            libraries = self._python.parents[1].glob("lib/python*/site-packages")
            found = distributions(name=self.package, path=[str(each) for each in libraries])
            return next(iter(found)).version
        file = NODE / "node_modules" / self.package / "package.json"
        return str(json.loads(file.read_text(encoding="utf-8"))["version"])

    @property
    def is_installed(self) -> bool:
        """Whether there is something to run."""
        return self._python.exists() if self.is_python else (NODE / "node_modules").exists()

    @property
    def _python(self) -> Path:
        return ENVIRONMENTS / self.environment / "bin" / "python"


CLIENTS = (
    Client("openai-python", "openai", "current", ("openai_python.py",)),
    Client("openai-python: responses", "openai", "current", ("openai_responses.py",)),
    Client("openai-python: its API tests", "openai", "current", ("openai_api_resources.py",)),
    Client("anthropic-python", "anthropic", "current", ("anthropic_python.py",)),
    Client("langchain-openai", "langchain-openai", "current", ("langchain_openai_client.py",)),
    Client("langchain-tests", "langchain-tests", "current", _SUITE),
    Client("pydantic-ai", "pydantic-ai-slim", "current", ("pydantic_ai_client.py",)),
    Client("instructor", "instructor", "older", ("instructor_client.py",)),
    Client("litellm", "litellm", "older", ("litellm_client.py",)),
    Client("llm", "llm", "current", ("llm_cli.py",)),
    Client("openai-node", "openai", _NODE, ("openai.mjs",)),
    Client("@anthropic-ai/sdk", "@anthropic-ai/sdk", _NODE, ("anthropic.mjs",)),
    Client(
        "AI SDK: openai-compatible",
        "@ai-sdk/openai-compatible",
        _NODE,
        ("ai_sdk_openai_compatible.mjs",),
    ),
    Client("AI SDK: openai", "@ai-sdk/openai", _NODE, ("ai_sdk_openai.mjs",)),
)
