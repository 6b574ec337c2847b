"""What comes in is priced before it is kept, and settings that name no price are refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lair.metrics.v1 import report_service_pb2 as report
from lair.metrics.v1.report_service_pb2_grpc import ReportServiceStub
from lair.metrics.v1.usage_service_pb2 import RecordRequestsRequest
from lair.metrics.v1.usage_service_pb2_grpc import UsageServiceStub
from metrics_svc.main import check, open_service
from svckit.backend_settings import Backend
from svckit.config import ConfigError
from svckit.cost_settings import Costs, Price
from svckit.inprocess import InProcessChannel
from svckit.settings import Settings
from svckit.times import now_us
from tests.metrics.events import record

OPENAI = Backend(name="oai", url="https://relay.example/v1", provider="openai")
UNKNOWN = Backend(name="odd", url="https://odd.example/v1")
MILLION = (10**6, 10**6)


async def test_every_request_is_priced_before_it_is_kept(tmp_path: Path):
    settings = Settings(
        data_dir=tmp_path,
        backends=(OPENAI, UNKNOWN),
        prices=(Price(backend="own", model="m*", input=1.0, output=2.0),),
        costs=Costs(kwh=0.30, instead="openai/gpt-5-mini"),
    )
    now = now_us()
    sold = {"tokens": MILLION, "model": "gpt-5-mini"}
    async with open_service(settings) as servicers:
        channel = InProcessChannel(servicers)
        await UsageServiceStub(channel).RecordRequests(
            RecordRequestsRequest(
                records=[
                    record(1, now, backend="oai", **sold),
                    record(2, now, backend="odd", **sold),
                    record(3, now, backend="odd", billed_nano_usd=7 * 10**9, **sold),
                    record(4, now, backend="own", tokens=MILLION, model="mine"),
                    # Found by itself, so that no settings know of it.
                    record(5, now, backend="ollama", local=True, tokens=MILLION, model="tiny"),
                    record(6, now, status=6),
                ]
            )
        )
        reports = ReportServiceStub(channel)
        board = await reports.GetDashboard(report.GetDashboardRequest())
        saved = await reports.GetSavings(report.GetSavingsRequest())
        table = await reports.QueryUsage(
            report.QueryUsageRequest(dimensions=["cost_source"], measures=["requests", "cost_usd"])
        )
    assert board.cost == report.Cost(nano_usd=round((2.25 + 7 + 3) * 10**9), unpriced_count=1)
    assert {share.name: share.cost.nano_usd / 1e9 for share in board.backends} == {
        "oai": 2.25,
        "odd": 7.0,
        "own": 3.0,
        "ollama": 0.0,
    }
    costs = {row.keys[0]: row.values for row in table.rows}
    assert {name: values[0] for name, values in costs.items()} == {
        "billed": 1,
        "configured": 1,
        "computed": 1,
        "free": 2,
        "unpriced": 1,
    }
    assert costs["unpriced"][1] != costs["unpriced"][1]  # NaN
    assert saved.total.replacement.reference_nano_usd == 2_250_000_000
    assert saved.kwh_usd == 0.30


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"backends": (OPENAI.model_copy(update={"provider": "opennai"}),)},
            "backends: oai: provider: no prices are known of 'opennai'; did you mean 'openai'?",
        ),
        (
            {"costs": Costs(instead="openai/gpt-5-minni")},
            "costs: instead: openai is not known to sell 'gpt-5-minni'; did you mean openai/gpt-",
        ),
        (
            {"costs": Costs(instead_of={"qwen3:30b": "zzz"})},
            "costs: instead_of: qwen3:30b: no prices are known of 'zzz'; known here: ",
        ),
        (
            {"costs": Costs(instead_of={"qwen3:30b": "openai/"})},
            "costs: instead_of: qwen3:30b: openai is not known to sell ''; name one",
        ),
    ],
)
async def test_a_price_that_nobody_knows_is_refused_and_the_nearest_named(
    tmp_path: Path, settings: dict[str, Any], said: str
):
    wrong = Settings(data_dir=tmp_path, **settings)
    with pytest.raises(ConfigError) as caught:
        check(wrong)
    assert said in str(caught.value)
    with pytest.raises(ConfigError):
        async with open_service(wrong):
            pytest.fail("it has started")


def test_what_is_known_is_taken(tmp_path: Path):
    costs = Costs(instead="openai/gpt-5-mini", instead_of={"m": "anthropic/claude-sonnet-4-5"})
    check(Settings(data_dir=tmp_path, backends=(OPENAI, UNKNOWN), costs=costs))


def test_prices_are_not_loaded_where_none_are_named(tmp_path: Path):
    """Loading them takes longer than all the rest of the start."""
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from metrics_svc.main import check\n"
        "from svckit.settings import Settings\n"
        "check(Settings(data_dir=Path(sys.argv[1])))\n"
        "assert 'genai_prices' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
