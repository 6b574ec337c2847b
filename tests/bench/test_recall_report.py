"""The page on what memory finds: bars that are met and missed, losses that are told."""

from __future__ import annotations

from typing import Any

from bench.locomo import BARS, DATA, METRICS
from bench.recall_report import finding

RATES = {"0.0": {"own": 100.0, "strangers": 90.0, "generic": 80.0}}


def systems(*, both: float, alone: float = 60.0) -> dict[str, Any]:
    def rows(value: float) -> dict[str, Any]:
        row = {"n": 3, **dict.fromkeys(METRICS, value)}
        return dict.fromkeys(("OVERALL", "single-hop", "multi-hop", "temporal", "open-domain"), row)

    return {"words": rows(alone), "meaning": rows(alone), "shipped": rows(both)}


def page(**changed: Any) -> str:
    name = DATA.stem
    locomo = {
        name: systems(both=90.0),
        f"{name} random vectors": systems(both=59.0),
        f"{name} no words": systems(both=57.5),
    }
    return finding(locomo | changed, {name: RATES, "made-up": RATES})


def test_bars_are_met_or_not() -> None:
    assert "| met | yes | yes | yes | yes | yes |" in page()
    between = sorted(BARS)[2]
    told = ["yes" if between >= bar else "**no**" for bar in BARS]
    assert told.count("yes") == 3
    assert f"| met | {' | '.join(told)} |" in page(**{DATA.stem: systems(both=between)})


def test_losses_are_told() -> None:
    assert "| random vectors | 60.0 | 59.0 | 1.0 | met |" in page()
    assert "| no words | 60.0 | 57.5 | 2.5 | **not met** |" in page()


def test_thresholds_have_both_kinds_of_chats() -> None:
    assert "| 0.0 | 100.0 | 90.0 | 80.0 | 100.0 | 90.0 | 80.0 |" in page()
