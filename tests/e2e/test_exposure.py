"""GET /metrics of a whole lair: as Prometheus wants it, with few series, and as Grafana asks."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
from prometheus_client.parser import text_string_to_metric_families

from lair.common.v1.caller_pb2 import Caller
from lair.common.v1.chat_pb2 import Message
from lair.router.v1.chat_pb2 import ChatCall
from lair.router.v1.router_service_pb2 import ChatRequest
from tests.e2e.in_process import House, in_process
from tests.e2e.prometheus_rules import faults
from tests.e2e.stack import ROOT, Lair, eventually
from tests.fakes.answers import Answer, completion, greeting, reply
from tests.fakes.openai_server import OpenAIServer

ODD_REQUESTS = 1000
AT_ONCE = 25
HELLO = {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}]}


@asynccontextmanager
async def busy_house(tmp_path: Path) -> AsyncIterator[House]:
    """Open a lair that has seen an answer, a stream, a fallback and a failure."""
    async with OpenAIServer("tiny") as one, OpenAIServer("tiny") as two:
        backends = [
            {"name": "a", "url": one.url, "priority": 1, "local": False},
            {"name": "b", "url": two.url},
        ]
        prices = [{"backend": "a", "model": "tiny", "input": 1.0, "output": 2.0}]
        async with in_process(tmp_path, backends=backends, prices=prices) as house:
            await house.post("/v1/chat/completions", HELLO)
            *_, last = await house.post("/v1/chat/completions", {**HELLO, "stream": True})
            one.script(reply({"error": "full"}, 429))
            await house.post("/v1/chat/completions", HELLO)
            two.script(reply({"error": "broken"}, 500))
            *_, last = await house.post("/v1/chat/completions", HELLO)
            one.script(greeting)
            two.script(greeting)
            await house.record(last)
            yield house


def series(page: str) -> dict[str, list[dict[str, str]]]:
    """Return the labels of every series, by the name that it is written with."""
    found: dict[str, list[dict[str, str]]] = defaultdict(list)
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            found[sample.name].append(sample.labels)
    return found


async def test_the_page_keeps_the_rules(tmp_path: Path) -> None:
    async with busy_house(tmp_path) as house:
        page = await house.get("/metrics")
    assert list(faults(page)) == []


async def test_it_has_all_that_there_is_to_know(tmp_path: Path) -> None:
    async with busy_house(tmp_path) as house:
        found = series(await house.get("/metrics"))
    labels = {name: set(entries[0]) for name, entries in found.items() if name[:5] == "lair_"}
    assert (
        labels.items()
        >= {
            "lair_requests_total": {"endpoint", "model", "backend", "status"},
            "lair_request_duration_seconds_bucket": {"backend", "le"},
            "lair_time_to_first_token_seconds_bucket": {"backend", "le"},
            "lair_overhead_seconds_bucket": {"le"},
            "lair_tokens_total": {"type", "model", "backend"},
            "lair_cost_usd_total": {"backend"},
            "lair_fallbacks_total": {"from", "to", "reason"},
            "lair_inflight_requests": set(),
            "lair_metrics_dropped_total": set(),
            "lair_metrics_queue_length": set(),
            "lair_db_size_bytes": {"database"},
            "lair_service_up": {"service"},
        }.items()
    )
    assert {"from": "a", "to": "b", "reason": "rate_limited"} in found["lair_fallbacks_total"]
    assert {"backend": "a"} in found["lair_cost_usd_total"]


async def test_every_metric_is_explained(tmp_path: Path) -> None:
    words = (ROOT / "docs" / "metrics-export.md").read_text(encoding="utf-8")
    async with busy_house(tmp_path) as house:
        page = await house.get("/metrics")
    for name in re.findall(r"^# TYPE (lair_\w+) ", page, re.MULTILINE):
        assert f"`{name}`" in words, name


async def test_odd_requests_add_few_series(tmp_path: Path) -> None:
    chance = random.Random(6)
    async with OpenAIServer("tiny") as server:
        server.script(lambda body: _odd_answer(chance, body))
        async with in_process(tmp_path, server) as house:
            for _ in range(3):  # what every lair has before long
                await house.post("/v1/chat/completions", HELLO)
            before = series(await house.get("/metrics"))
            for _ in range(ODD_REQUESTS // AT_ONCE):
                await asyncio.gather(*(_ask_oddly(house, chance) for _ in range(AT_ONCE)))
            page = await house.get("/metrics")
    assert list(faults(page)) == []
    after = series(page)
    grown = sum(map(len, after.values())) - sum(map(len, before.values()))
    assert grown < 120
    models = [{entry["model"] for entry in it["lair_requests_total"]} for it in (before, after)]
    assert models[1] - models[0] <= {"none"}
    assert "odd-" not in page


def _odd_answer(chance: random.Random, body: dict[str, Any]) -> Answer:
    return chance.choice(
        [greeting(body), completion("a", usage=None), reply({"error": "odd-error"}, 400)]
    )


async def _ask_oddly(house: House, chance: random.Random) -> None:
    """Ask as no two requests do, by HTTP or by gRPC."""
    odd = f"odd-{uuid4()}"
    model = chance.choice(["tiny", "auto", odd])
    if chance.random() < 0.2:
        call = ChatCall(
            model=model,
            endpoint=odd,
            messages=[Message(role="user", text=odd)],
            caller=Caller(user_id=odd, project=odd),
        )
        with suppress(grpc.aio.AioRpcError):
            await house.router.Chat(ChatRequest(call=call))
        return
    headers = dict.fromkeys(("X-User-ID", "X-Project", "X-Session-ID"), odd)
    path = chance.choice(["/v1/chat/completions", "/v1/messages", f"/p/{odd}/v1/chat/completions"])
    body = {**HELLO, "model": model, "stream": chance.random() < 0.5, "max_tokens": 9}
    await house.post(path, body, **headers)


def test_services_in_processes_of_their_own_are_part_of_the_page(lair: Lair) -> None:
    lair.chat("Say hello")

    def counted() -> Any:
        page = str(lair.get("/metrics"))
        return page if "lair_unpriced_requests_total" in page else None

    page = eventually(counted)
    assert list(faults(page)) == []
    found = series(page)
    assert {"database": "memory"} in found["lair_db_size_bytes"]
    assert {"database": "metrics"} in found["lair_db_size_bytes"]
    up = {
        sample.labels["service"]: sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == "lair_service_up"
    }
    assert up == {"router": 1, "memory": 1, "metrics": 1}


# -- Grafana ---------------------------------------------------------------------------

BOARD = json.loads((ROOT / "docs" / "grafana" / "lair.json").read_text(encoding="utf-8"))
_SELECTOR = re.compile(r"(lair_\w+)(?:\{([^}]*)\})?")
_FUNCTIONS = {"sum", "rate", "increase", "histogram_quantile", "by"}
_GRID = 24


def test_the_dashboard_is_one_that_grafana_loads() -> None:
    assert (BOARD["uid"], BOARD["title"]) == ("lair", "lair")
    assert isinstance(BOARD["schemaVersion"], int)
    assert "id" not in BOARD  # Grafana gives it one
    [source] = BOARD["templating"]["list"]
    assert (source["name"], source["type"], source["query"]) == (
        "datasource",
        "datasource",
        "prometheus",
    )
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        assert panel["type"] in ("stat", "timeseries")
        assert panel["title"]
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < _GRID
        taken |= cells
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        for target in panel["targets"]:
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


async def test_every_question_of_the_dashboard_is_about_what_the_page_has(tmp_path: Path) -> None:
    async with busy_house(tmp_path) as house:
        known = {name: set(e[0]) for name, e in series(await house.get("/metrics")).items()}
    for panel in BOARD["panels"]:
        for target in panel["targets"]:
            expression = target["expr"]
            used = [(name, filters) for name, filters in _SELECTOR.findall(expression)]
            assert used, expression
            for name, filters in used:
                assert name in known, (panel["title"], name)
                wanted = set(re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"', filters))
                for group in re.findall(r"by \(([^)]*)\)", expression):
                    wanted |= {label.strip() for label in group.split(",")}
                wanted |= set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
                assert wanted <= known[name], (panel["title"], name, wanted)
            assert expression.count("(") == expression.count(")")
            assert set(re.findall(r"(\w+) ?\(", expression)) <= _FUNCTIONS
