"""`lair wrapped`, against a scripted gateway."""

from __future__ import annotations

import json
import struct
import xml.etree.ElementTree as ET
from datetime import date
from pathlib import Path

import pytest

from launcher.stats import picture
from launcher.stats.card import HEIGHT, WIDTH, card
from launcher.stats.svg import cut
from tests.launcher.scripted_gateway import ScriptedGateway
from tests.launcher.support import Lair
from tests.launcher.usages import chart_days, comparison, saved, share, wrapped

SVG = "{http://www.w3.org/2000/svg}"
GOLD = "#fbbf24"


def drawn(**fields: object) -> ET.Element:
    return ET.fromstring(card(wrapped(**fields)))


def texts(**fields: object) -> list[str]:
    return [each.text or "" for each in drawn(**fields).iter(f"{SVG}text")]


def test_a_png_is_drawn_in_full_size(lair: Lair, gateway: ScriptedGateway, tmp_path: Path) -> None:
    gateway.answer_json(wrapped())
    ended = lair("wrapped", "--year", "2026", "-o", "card.png")
    assert (ended.code, ended.out, ended.err) == (0, "wrote card.png\n", "")
    assert [path for path, _, _ in gateway.asked] == ["/metrics/wrapped/2026"]
    data = (tmp_path / "card.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", data[16:24]) == (WIDTH, HEIGHT)


def test_its_letters_come_from_the_font_that_is_installed_with_it() -> None:
    svg = card(wrapped())
    assert picture.png(svg) != picture.png(svg.replace("Roboto, ", "Nothing, "))


def test_an_svg_needs_nothing_more(
    lair: Lair, gateway: ScriptedGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture, "find_spec", lambda _: None)
    gateway.answer_json(wrapped())
    assert lair("wrapped", "--year", "2026", "-o", "card.svg", "--tz", "UTC").code == 0
    root = ET.fromstring((tmp_path / "card.svg").read_text("utf-8"))
    assert (root.get("width"), root.get("height")) == (str(WIDTH), str(HEIGHT))
    gateway.asked.clear()
    ended = lair("wrapped", "--year", "2026")
    assert ended.code == 1
    assert "local-ai-router[wrapped]" in ended.err
    assert "-o lair-2026.svg" in ended.err
    assert gateway.asked == []


def test_without_a_year_it_is_this_one(lair: Lair, gateway: ScriptedGateway) -> None:
    gateway.answer_json(wrapped())
    ended = lair("wrapped", "--json", "--private", "--project", "p", "--user", "ana")
    assert json.loads(ended.out) == wrapped()
    [(path, _, _)] = gateway.asked
    year = date.today().year  # noqa: DTZ011  # the machine's, as the command's
    assert path == f"/metrics/wrapped/{year}?hide_names=true&project=p&user_id=ana"


def test_a_year_without_requests_has_no_card(
    lair: Lair, gateway: ScriptedGateway, tmp_path: Path
) -> None:
    gateway.answer_json(wrapped(requests=0, days=[]))
    ended = lair("wrapped", "--year", "1999", "-o", "card.svg")
    assert (ended.code, ended.err) == (
        1,
        "lair: there were no requests in 1999 to draw a card of\n",
    )
    assert not (tmp_path / "card.svg").exists()


def test_another_kind_of_file_is_refused(lair: Lair, gateway: ScriptedGateway) -> None:
    assert lair("wrapped", "-o", "card.gif").code == 2
    assert gateway.asked == []


def test_figures_and_names_are_on_the_card() -> None:
    said = texts()
    for text in (
        *("2026", "48,112", "98.7% answered", "81.2M", "250", "of 325 days", "92%"),
        *("14 days", "3 Mar to 16 Mar", "14 March", "Sunday", "23:00 to 24:00"),
        *("qwen3-coder:30b", "62.0%", "$12.34", "$3.20", "saved against the same models sold"),
        *("$0.25", "more than paid models would cost", "Money, after electricity"),
    ):
        assert text in said, text


def test_the_year_is_whole_and_the_longest_streak_is_marked() -> None:
    boxes = [each for each in drawn().iter(f"{SVG}rect") if each.get("rx") == "8"]
    assert len(boxes) == 365
    marked = [each for each in boxes if each.get("stroke") == GOLD]
    assert len(marked) == 14
    assert all(float(each.get("x", 0)) + float(each.get("width", 0)) <= 2291 for each in boxes)


@pytest.mark.parametrize("year", [2026, 2028, 2012])
def test_every_year_fits_the_card(year: int) -> None:
    days = chart_days(date(year, 1, 1), {}, 1)
    boxes = [
        each
        for each in drawn(year=year, days=days, longest_streak=None).iter(f"{SVG}rect")
        if each.get("rx") == "8"
    ]
    assert len(boxes) == (366 if year % 4 == 0 else 365)
    assert max(float(box.get("x", 0)) + float(box.get("width", 0)) for box in boxes) <= 2290.1


def test_names_that_are_left_out_are_numbers() -> None:
    said = texts(models=[share("", 3, 0.75), share("", 1, 0.25)], names_hidden=True)
    assert "model 1" in said
    assert "model 2" in said


def test_a_name_is_text_and_no_drawing() -> None:
    name = '<script>"&\x00\x1b'
    [shown] = [text for text in texts(models=[share(name, 3, 1)]) if "script" in text]
    assert shown == '<script>"&  '


def test_what_is_not_known_is_not_made_up() -> None:
    nothing = saved(same_model=comparison(None), replacement=comparison(1.0), confidence="unknown")
    said = texts(
        longest_streak=None,
        most_active_day=None,
        best_weekday=None,
        most_active_hour=None,
        success_rate=None,
        cost_usd=None,
        unpriced=3,
        savings=nothing,
    )
    assert "unknown" in said
    assert "spent on models; 3 requests of unknown price" in said
    assert "Money, electricity not counted" in said
    assert "longest streak" not in said
    assert not any("same models" in text for text in said)


@pytest.mark.parametrize(
    ("text", "shown"), [("short", "short"), ("a" * 9, "aaaaaaa…"), ("模型模型模", "模型模…")]
)
def test_a_long_name_ends_with_an_ellipsis(text: str, shown: str) -> None:
    assert cut(text, 8) == shown
