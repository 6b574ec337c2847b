"""Whether a folder lasts, by the kernel's list of mounts."""

from __future__ import annotations

from pathlib import Path

import pytest

from launcher.lasting import lost_with
from launcher.screen import lines
from svckit.settings import Settings

CONTAINER = r"""
612 611 0:55 / / rw,relatime master:232 - overlay overlay rw,lowerdir=/x
613 612 0:58 / /proc rw,nosuid - proc proc rw
614 612 0:59 / /dev rw,nosuid - tmpfs tmpfs rw
615 612 254:1 /volumes/a /data rw,relatime - ext4 /dev/vda1 rw
616 615 0:60 / /data/my\040cache rw - tmpfs tmpfs rw
""".lstrip()


@pytest.mark.parametrize(
    ("folder", "lost"),
    [
        ("/root/.local/share/lair", "the container"),
        ("/data", ""),
        ("/data/lair", ""),
        ("/database", "the container"),
        ("/data/my cache/lair", "the machine's next start"),
    ],
)
def test_the_deepest_mount_decides(tmp_path: Path, folder: str, lost: str) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(CONTAINER)
    assert lost_with(Path(folder), mounts) == lost


@pytest.mark.parametrize("odd", ["a\u2028b", "a\x85b", "a\rb", "a\u00a0b"])
def test_a_mount_may_have_an_odd_name(tmp_path: Path, odd: str) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_bytes(f"{CONTAINER}617 612 0:61 / /{odd} rw - ext4 /dev/vdb rw\n".encode())
    assert lost_with(Path(f"/{odd}/lair"), mounts) == ""


def test_rootless_containers_are_containers(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text("1 0 0:55 / / rw - fuse.fuse-overlayfs fuse-overlayfs rw\n")
    assert lost_with(Path("/data"), mounts) == "the container"


def test_another_system_does_not_tell(tmp_path: Path) -> None:
    assert lost_with(tmp_path, tmp_path / "none") == ""


def test_the_screen_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("launcher.screen.lost_with", lambda _: "the container")
    told = [text for _, text in lines(Settings(data_dir=tmp_path), None)]
    assert "this is lost with the container: mount a volume there, or set data_dir" in told
