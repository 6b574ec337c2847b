"""The measuring instruments measure: percentile, ratios, the page, the stub."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import msgspec
import openai
import pytest

from bench.analysis import Cell, Comparison, Figures, Run, Soak, Spread, comparisons, rows
from bench.load import Load, LoadError, Reply, count_chunks, dechunk, measure, percentile
from bench.processes import SYSTEMS, NotStarted, System, running, stub_server, without_paths
from bench.report import embedding, page, read_run, soaking


def figures(p50: float, rate: float, ttft: float | None = None) -> Figures:
    chunks = None if ttft is None else rate * 10
    return Figures(p50, p50 * 2, rate, ttft, chunks)


@pytest.fixture
def run() -> Run:
    """One request at a time within the bar, streams over it, and one system missing."""
    whole = {
        "direct": [figures(1.0, 1000), figures(1.0, 1000), figures(2.0, 500)],
        "bare": [figures(2.0, 500), figures(2.0, 400), figures(4.0, 300)],
        "lair": [figures(2.2, 250), figures(2.4, 400), figures(5.0, 250)],
    }
    streams = {
        "direct": [figures(1.0, 1000, 0.5)],
        "bare": [figures(2.0, 600, 1.5)],
        "lair": [figures(4.0, 200, 2.5)],
    }
    return Run(
        facts={
            "date": "2026-01-02",
            "cores": "2",
            "system": "Linux",
            "python": "3.11.0",
            "aiohttp": "3.14",
            "rounds": "3",
            "requests": "10",
        },
        titles={
            "direct": "the stub, asked directly",
            "bare": "bare prototype, one process",
            "bare_hop": "bare prototype with the hop",
            "lair": "`lair up`",
            "lair_separate": "`lair up --separate`",
        },
        missing={"lair_separate": "it did not start: no such command"},
        cells=[Cell(1, 0, whole), Cell(16, 100, streams)],
    )


@pytest.mark.parametrize(
    ("percent", "expected"), [(0, 1.0), (1, 1.0), (50, 50.0), (99, 99.0), (99.5, 100.0), (100, 100)]
)
def test_percentile_is_the_smallest_sample_that_so_many_do_not_exceed(percent, expected):
    samples = [float(number) for number in range(100, 0, -1)]

    assert percentile(samples, percent) == expected


def test_percentile_of_a_single_sample_is_that_sample():
    assert percentile([7.0], 99) == 7.0


def test_percentile_of_nothing_is_refused():
    with pytest.raises(ValueError, match="no samples"):
        percentile([], 50)


def test_dechunking_joins_chunks_wherever_they_were_cut():
    assert dechunk(b"3\r\nabc\r\n2;ext=1\r\nd\n\r\n0\r\n\r\n") == b"abcd\n"


def test_a_stream_that_lost_a_chunk_is_refused():
    event = b'data: {"content":" word1"}\n\ndata: [DONE]\n\n'
    reply = Reply(b"HTTP/1.1 200 OK\r\n", b"%x\r\n%b\r\n0\r\n\r\n" % (len(event), event), 0, 1)

    assert count_chunks(reply, 1) == 1
    with pytest.raises(LoadError, match="1 of 2 chunks came"):
        count_chunks(reply, 2)


def test_added_time_is_the_median_of_the_differences_within_each_round(run):
    by_system = {row.system: row for row in rows(run.cells[0])}

    assert by_system["bare"].added_p50_ms == 1.0  # of 1.0, 1.0, 2.0
    assert by_system["lair"].added_p50_ms == pytest.approx(1.4)  # of 1.2, 1.4, 3.0
    assert by_system["direct"].added_p50_ms == 0
    assert by_system["bare"].requests_per_s == 400


def test_chunk_share_is_relative_to_the_stub_asked_directly(run):
    by_system = {row.system: row for row in rows(run.cells[1])}

    assert by_system["bare"].chunk_share == pytest.approx(0.6)
    assert by_system["lair"].added_ttft_ms == 2.0


def test_ratios_are_taken_within_a_round_and_then_the_median(run):
    found = {c.measure: c for c in comparisons(run.cells[0])}

    assert found["added p50"].times == Spread(*map(pytest.approx, (1.4, 1.2, 1.5)))
    assert found["requests/s"].times == Spread(*map(pytest.approx, (1.2, 1.0, 2.0)))
    assert all(c.met for c in found.values())


def test_streams_are_compared_by_time_to_first_token_and_chunks(run):
    found = {c.measure: c for c in comparisons(run.cells[1])}

    assert found["added p50"].times == Spread(3.0, 3.0, 3.0)
    assert found["added TTFT"].times == Spread(2.0, 2.0, 2.0)
    assert found["chunks/s"].times == Spread(*map(pytest.approx, (3.0, 3.0, 3.0)))
    assert not any(c.met for c in found.values())


def test_a_yardstick_that_added_nothing_gives_no_ratio_and_meets_no_bar(run):
    cell = replace(run.cells[0], rounds=run.cells[0].rounds | {"bare": [figures(1, 100)] * 3})

    added = comparisons(cell)[0]

    assert added == Comparison("lair", "bare", "added p50", None)
    assert not added.met


def test_page_tells_where_the_bar_is_met_and_where_not(run):
    text = page(run)

    assert "2 of 5 comparisons" in text
    assert (
        "| `lair up` | whole replies, one request at a time | added p50 | 1.40 (1.20-1.50) | met |"
        in text
    )
    furthest = "`lair up`, streams of 100 chunks, 16 at once: added p50, 3.00 (3.00-3.00) times"
    assert f"Not met: 3. Furthest from it: {furthest}." in text
    assert "Not measured: `lair up --separate`; it did not start: no such command." in text


def test_page_follows_from_the_figures_alone(run, tmp_path):
    path = tmp_path / "overhead.json"
    path.write_bytes(msgspec.json.encode(run))

    again = read_run(path)

    assert again == run
    assert page(again) == page(run)


def test_page_without_lair_says_so(run):
    cells = [replace(cell, rounds={"direct": cell.rounds["direct"]}) for cell in run.cells]

    assert "lair was not measured" in page(replace(run, cells=cells))


def test_paths_are_cut_from_published_reasons():
    line = "FileNotFoundError: '/home/someone/lair/launcher/cli.py' at http://127.0.0.1:1/v1/models"

    assert without_paths(line) == "FileNotFoundError: 'cli.py' at http://127.0.0.1:1/v1/models"


@pytest.fixture(scope="module")
def stub() -> Iterator[int]:
    with stub_server() as port:
        yield port


@pytest.fixture
def client(stub: int) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"http://127.0.0.1:{stub}/v1", api_key="none", max_retries=0
    ) as client:
        yield client


QUESTION = [{"role": "user", "content": "Hello?"}]


def test_stub_lists_its_model(client):
    assert [model.id for model in client.models.list()] == ["stub"]


def test_stub_answers_whole_with_usage(client):
    reply = client.chat.completions.create(model="stub", messages=QUESTION)

    assert reply.choices[0].message.content
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        ("stub", {"max_tokens": 7}),
        ("stub-7", {}),
        ("stub", {"max_tokens": 7, "extra_body": {"stub_delay_ms": 1}}),
    ],
)
def test_stub_streams_as_many_chunks_as_asked(client, model, fields):
    chunks = list(
        client.chat.completions.create(model=model, messages=QUESTION, stream=True, **fields)
    )

    texts = [chunk.choices[0].delta.content for chunk in chunks]
    assert len([text for text in texts if text]) == 7
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks] == [None] * 8 + ["stop"]
    assert all(chunk.usage is None for chunk in chunks)


def test_stub_sends_usage_last_and_only_when_asked(client):
    chunks = list(
        client.chat.completions.create(
            model="stub-3", messages=QUESTION, stream=True, stream_options={"include_usage": True}
        )
    )

    assert [bool(chunk.usage) for chunk in chunks] == [False] * 5 + [True]
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 3


def test_stub_refuses_what_it_does_not_know(client):
    with pytest.raises(openai.NotFoundError, match="no such path"):
        client.embeddings.create(model="stub", input="text")


def test_load_counts_every_chunk_of_every_stream(stub):
    samples = measure(Load(stub, concurrency=4, requests=12, warmup=4, chunks=20))

    assert samples.chunks == 12 * 20
    assert len(samples.latency_ms) == len(samples.first_ms) == 12
    assert all(
        0 < first <= last for first, last in zip(samples.first_ms, samples.latency_ms, strict=True)
    )


@pytest.mark.parametrize("name", ["bare", "bare_hop", "tuned", "tuned_hop"])
def test_a_prototype_passes_replies_and_streams_unchanged(stub, name):
    system = next(system for system in SYSTEMS if system.name == name)
    with running(system, f"http://127.0.0.1:{stub}/v1") as port:
        streams = measure(Load(port, concurrency=3, requests=6, warmup=0, chunks=50))
        whole = measure(Load(port, concurrency=3, requests=6, warmup=0, chunks=0))

    assert streams.chunks == 6 * 50
    assert len(whole.latency_ms) == 6


def test_a_server_that_is_not_there_is_a_load_error(stub):
    with pytest.raises(LoadError):
        measure(Load(1, concurrency=1, requests=1, warmup=0, chunks=0))


def test_a_program_that_ends_is_not_started_and_says_why():
    broken = System("broken", "broken", lambda _port, _url: ["-c", "raise SystemExit('no luck')"])

    with (
        pytest.raises(NotStarted, match="it ended with 1; it wrote: no luck"),
        running(broken, ""),
    ):
        pytest.fail("it ran")


SOAK = Soak(600.0, 500, 50, 6000, 100.0, 101.0, 10.0, 260.0, 40.0, 0, 5.0, 200.0, 20.0, 0)


def test_the_soak_is_told_with_its_verdicts() -> None:
    told = soaking(SOAK)
    assert "+1.0%" in told
    assert "| longest held, ms | 40 | 20 |" in told
    assert "| memory, MB | 100 to 101 | - |" in told
    assert told.count("not met") == 0
    assert soaking(replace(SOAK, rss_end_mb=150.0, held_max_ms=250.0)).count("**not met**") == 2


def test_a_stall_that_an_idle_loop_had_too_is_not_lairs() -> None:
    held = replace(SOAK, held_max_ms=250.0)
    assert not held.smooth
    assert replace(held, idle_loop_held_max_ms=150.0).smooth


def test_embedding_is_told_beside_torch() -> None:
    figures = dict.fromkeys(("first_s", "p95_ms", "texts_per_s", "ready_mb", "after_mb"), 7.0)
    told = embedding(
        {
            "model": "m@int8",
            "export_s": 20.4,
            "agreement": {"mean": 0.9902, "least": 0.9712},
            "runtimes": {"auto": {**figures, "p50_ms": 3.33}, "torch": {**figures, "p50_ms": 15.0}},
        }
    )
    assert "| question, p50, ms | 3.3 | 15.0 |" in told
    assert "took 20 s in a\nprocess" in told
    assert "cosines of 0.990 on average and 0.971 at least" in told
