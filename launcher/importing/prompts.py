"""What a person typed into an agent, without what the agent's program added to it."""

from __future__ import annotations

import re

_ADDED = re.compile(
    r"<(system-reminder|ide_opened_file|ide_selection|ide_diagnostics|task-notification)\b.*?</\1>",
    re.DOTALL,
)
_COMMAND = re.compile(r"<command-name>(.*?)</command-name>", re.DOTALL)
_ARGUMENTS = re.compile(r"<command-args>(.*?)</command-args>", re.DOTALL)
# How texts begin that are a program's: output of commands, notices, notes about both.
_NOT_TYPED = (
    *("<local-command-", "<bash-input>", "<bash-stdout>", "<bash-stderr>"),
    *("<user-memory-input>", "[Request interrupted by user", "Caveat: The messages below"),
)


def as_typed(prompt: str) -> str:
    """Return what the person typed; '' if none of it is theirs."""
    prompt = _ADDED.sub("", prompt).strip()
    command, arguments = _COMMAND.search(prompt), _ARGUMENTS.search(prompt)
    if command:
        # `/review the parser` says something, `/clear` does not.
        said = arguments.group(1).strip() if arguments else ""
        return f"{command.group(1).strip()} {said}" if said else ""
    return "" if prompt.startswith(_NOT_TYPED) else prompt
