"""Whether what is written to a folder is still there after a restart."""

from __future__ import annotations

import re
from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")
_LOST_WITH = {
    "tmpfs": "the machine's next start",
    "ramfs": "the machine's next start",
    "overlay": "the container",
    "fuse.fuse-overlayfs": "the container",
    "aufs": "the container",
}
# How the kernel writes a space, for example: `\040`.
_ESCAPED = re.compile(r"\\(\d{3})")


def lost_with(folder: Path, mounts: Path = _MOUNTS) -> str:
    """Return with what all in `folder` is gone; '' if it lasts, or the system does not tell.

    `mounts` is in the form of Linux' /proc/self/mountinfo.
    """
    try:
        known = mounts.read_bytes().decode("utf-8", "surrogateescape")
    except OSError:  # another system
        return ""
    kind, deepest = "", -1
    # A name may hold all but what the kernel escapes, as other spaces and ends of lines.
    for line in filter(None, known.split("\n")):
        before, _, after = line.partition(" - ")
        point = Path(_ESCAPED.sub(lambda octal: chr(int(octal[1], 8)), before.split(" ")[4]))
        depth = len(point.parts)
        # Of two at the same place the later one covers the earlier.
        if depth >= deepest and folder.is_relative_to(point):
            kind, deepest = after.split()[0], depth
    return _LOST_WITH.get(kind, "")
