"""The card as a file: SVG as it is, or PNG, which the extra `wrapped` draws."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import typer

from launcher.exits import CommandFailedError
from launcher.stats.svg import FAMILY
from launcher.whole_file import whole_file

_SUFFIXES = (".png", ".svg")


def require_drawable(target: Path) -> None:
    """Refuse a file of another kind, or a PNG where nothing draws one."""
    suffix = target.suffix.lower()
    if suffix not in _SUFFIXES:
        raise typer.BadParameter(f"{target.name} is neither .png nor .svg", param_hint="-o")
    missing = [name for name in ("resvg_py", "font_roboto") if find_spec(name) is None]
    if suffix == ".png" and missing:
        raise CommandFailedError(
            f"a PNG needs {' and '.join(missing)}: pip install 'local-ai-router[wrapped]'; "
            f"or have an SVG: lair wrapped -o {target.with_suffix('.svg')}"
        )


def write_card(svg: str, target: Path) -> None:
    """Write a card; the file's name tells its kind."""
    data = svg.encode() if target.suffix.lower() == ".svg" else png(svg)
    with whole_file(target) as file:
        file.write(data)


def png(svg: str) -> bytes:
    """Draw an SVG in Roboto, and what Roboto has no letters for in what this machine has."""
    import resvg_py  # noqa: PLC0415  # of an extra

    return resvg_py.svg_to_bytes(
        svg_string=svg, font_files=_fonts(), font_family=FAMILY, sans_serif_family=FAMILY
    )


def _fonts() -> list[str]:
    # Only its files are wanted, and importing it would read them all.
    spec = find_spec("font_roboto")
    assert spec is not None, "require_drawable comes first"
    folders = spec.submodule_search_locations or ()
    return sorted(str(font) for folder in folders for font in Path(folder).glob("files/*.ttf"))
