"""Writing to Cloud Storage and BigQuery: races, lost answers, crashes."""

from __future__ import annotations

import dataclasses
import gzip
import io
import random
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from pipeline.cloud import clients, objects, retry
from pipeline.cloud.output import BucketOutput
from pipeline.core import process_request
from pipeline.core.blocks import ForecastBlock
from pipeline.core.csv_reading import text_chunks
from pipeline.core.engines.forecast_batch import faulty_forecasts
from pipeline.core.errors import DoneError, RecordError
from pipeline.core.file_ranges import FileRange
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.outputs.outcomes import Outcome, SupersededRequest, WrittenPart, WrittenRequest
from pipeline.core.outputs.tables import TABLES
from pipeline.core.process_ranges import Step, load_in_ranges
from pipeline.core.process_request import (
    finish,
    forecast,
    load_blocks,
    process,
    unreadable,
    write_dead_letters,
    write_receipt,
)
from pipeline.core.series import ranges, row_store
from pipeline.core.series.batch import faulty_series
from tests.cloud.conftest import Stage, daily, forget_clients
from tests.cloud.stage_requests import request_for
from tests.local_cloud.fault_proxy import FaultProxy, Rule

pytestmark = pytest.mark.cloud


@pytest.fixture
def through(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[FaultProxy]]]:
    """Put a proxy with these faults before Cloud Storage and BigQuery; return both."""
    with ExitStack() as stack:

        def put(storage: list[Rule], bigquery: list[Rule] | None = None) -> list[FaultProxy]:
            proxies = []
            for name, url, rules in (
                ("STORAGE_EMULATOR_HOST", stage.cloud.storage, storage),
                ("BIGQUERY_EMULATOR_HOST", stage.cloud.bigquery, bigquery or []),
            ):
                proxies.append(stack.enter_context(FaultProxy(url, rules, seed=1)))
                monkeypatch.setenv(name, proxies[-1].url)
            forget_clients()
            return proxies

        yield put
    forget_clients()


def stores(count: int) -> str:
    lines = [f"s{i},{line}" for i in range(count) for line in daily(i).splitlines()[1:]]
    return "store,ds,y\n" + "\n".join(lines) + "\n"


def prepared(stage: Stage, batch: bool = False) -> BucketOutput:
    from pipeline.cloud.tables import Tables

    assert Tables(stage.dataset).prepare(None) == []
    return BucketOutput(stage.output, stage.dataset, batch)


def published(last: WrittenPart | Outcome, output: BucketOutput) -> Outcome:
    """Return what becomes of a request once this, the last of its parts, is written."""
    whole = last.whole() if isinstance(last, WrittenPart) else last
    assert isinstance(whole, WrittenRequest)
    return output.publish(whole)


def test_the_newest_generation_wins_among_racing_writers(stage: Stage) -> None:
    requests = [request_for(stage, "a.csv", daily(seed)) for seed in range(8)]
    output = BucketOutput(stage.output, "", batch=False)
    blocks = []
    for number, request in enumerate(requests):
        stage.upload("copy.csv", daily(number))
        there = dataclasses.replace(request_for(stage, "copy.csv"), output="a.csv")
        block = next(iter(load_blocks(there, Limits(), output)))
        blocks.append(forecast(dataclasses.replace(block, request=request), Limits(), output))
    random.Random(1).shuffle(blocks)
    together = threading.Barrier(len(blocks))

    def write(block: object) -> bool:
        together.wait()
        return isinstance(output.write_block(block), SupersededRequest)

    with ThreadPoolExecutor(len(blocks)) as pool:
        superseded = dict(zip((block.request.version for block in blocks), pool.map(write, blocks), strict=True))
    newest = max(superseded, key=int)
    assert superseded[newest] is False
    assert stage.object("f/a.csv").metadata["dropcast-version"] == newest


def test_a_forecast_is_stored_in_the_encoding_of_its_source_and_says_so(stage: Stage) -> None:
    rows = "".join(f"Köln;2024-01-{day:02d};{day % 7},5\n" for day in range(1, 29))
    request = request_for(stage, "a.csv", f"store;date;y\n{rows}".encode("cp1252"))
    spec = ForecastSpec(horizon=3, score=False, encoding="cp1252").to_json()
    assert process(dataclasses.replace(request, spec=spec), Limits(), prepared(stage))[0].status == "complete"
    found = stage.object("f/a.csv")
    assert found.content_type == "text/csv; charset=cp1252"
    assert found.download_as_bytes().decode("cp1252").splitlines()[1].startswith("Köln;2024-01-29;")


def test_an_answer_that_is_lost_changes_nothing(stage: Stage, through: Callable[..., list[FaultProxy]]) -> None:
    output = prepared(stage)
    request = request_for(stage, "a.csv", daily())
    storage, bigquery = through(
        [
            Rule("reset_after", method="POST", path=r"/upload/", times=2),
            Rule("status", method="GET", path=r"/o/", code=503, times=2),
            Rule("cut", method="GET", path=r"alt=media", times=1),
        ],
        [
            Rule("reset_after", method="POST", path="insertAll", times=2),
            Rule("status", path="insertAll", code=500, times=1),
        ],
    )
    told: list[int] = []
    retry.on_retry(lambda: told.append(1))
    receipt, _ = process(request, Limits(), output)
    assert receipt.status == "complete"
    assert len(storage.log) >= 4
    assert len(bigquery.log) == 3
    assert len(told) >= 6, "what is tried again is counted"
    assert stage.object("f/a.csv").metadata["dropcast-key"] == request.key
    assert stage.count("forecasts") == stage.count("latest_forecasts") == 3
    assert stage.count("receipts") == 1


def test_a_forecast_of_another_file_or_of_nobody_is_not_overwritten(stage: Stage) -> None:
    output = BucketOutput(stage.output, "", batch=False)
    bucket = stage.cloud.storage_client().bucket(stage.out)
    bucket.blob("f/a.csv").upload_from_string("a person's own")
    assert process(request_for(stage, "a.csv", daily()), Limits(), output)[0].code == "OUTPUT_TAKEN"
    assert bucket.blob("f/a.csv").download_as_text() == "a person's own"
    assert process(request_for(stage, "b.csv", daily()), Limits(), output)[0].status == "complete"
    other = request_for(stage, "c.csv", daily(), output="b.csv")
    assert process(other, Limits(), output)[0].code == "OUTPUT_TAKEN"


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (text_chunks, ranges):
        monkeypatch.setattr(module, "READ_BYTES", 500)
    monkeypatch.setattr(objects, "CHUNK", 700)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("by_series", [True, False])
def test_ranges_of_an_object_give_the_bytes_of_the_whole(stage: Stage, by_series: bool) -> None:
    rows = stores(600).splitlines(keepends=True)[1:]
    if not by_series:
        random.Random(0).shuffle(rows)
    text, output, limits = "store,ds,y\n" + "".join(rows), prepared(stage, batch=True), Limits()
    assert process(request_for(stage, "whole.csv", text), limits, output)[0].series == 600
    request, done = request_for(stage, "ranges.csv", text), []

    def each(step: Step, own: Sequence[FileRange]) -> None:
        done.append((step.__name__, len(own)))
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda one: step(one, limits, output), own))

    blocks = list(load_in_ranges(request, limits, output, len(text) // 6, each))
    assert [step for step, _ in done] == (["read_one"] if by_series else ["read_one", "sort_one"])
    assert done[0][1] > 4
    assert len(stage.names("f/_dropcast/work/")) > 8
    parts = [output.write_block(forecast(block, limits, output)) for block in blocks]
    assert len(parts) == 2
    assert finish(published(parts[-1], output), output)[0].series == 600
    found, expected = (stage.object(f"f/{name}.csv").download_as_bytes() for name in ("ranges", "whole"))
    assert found == expected
    assert stage.count("latest_forecasts") == 2 * 600 * 3
    assert stage.names("f/_dropcast/work/") == []


def test_parts_of_an_object_are_read_at_any_place(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "CHUNK", 10)
    content = bytes(range(25))
    generations = [stage.upload(name, data) for name, data in (("large", content), ("small", content[:4]))]
    with objects.open_object(stage.uri("large"), str(generations[0])) as large:
        assert large.size() == 25
        assert [large.part(3, end).read() for end in (4, 13, 23, 25)] == [content[3:end] for end in (4, 13, 23, 25)]
        assert large.read() == content
        assert large.size() == 25
    with objects.open_object(stage.uri("small"), str(generations[1])) as small:
        assert small.size() == 4
        assert small.read() == content[:4]
        assert small.size() == 4


@pytest.mark.usefixtures("small_chunks")
def test_a_newer_object_ends_the_reading_of_an_older_ones_ranges(stage: Stage) -> None:
    text, output, limits = stores(60), prepared(stage, batch=True), Limits()
    request = request_for(stage, "a.csv", text)

    def each(step: Step, own: Sequence[FileRange]) -> None:
        step(own[0], limits, output)
        stage.upload("a.csv", daily())
        for one in own[1:]:
            step(one, limits, output)

    found = list(load_in_ranges(request, limits, output, len(text) // 6, each))
    assert found == [SupersededRequest(request)]
    assert stage.names("f/_dropcast/work/") == []


def test_many_parts_are_composed_and_removed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_store, "BLOCK_SERIES", {"native": 1, "stan": 1})
    output = prepared(stage)
    for name in ("big.csv", "big.csv.gz"):
        request = request_for(stage, name, stores(70))
        blocks = list(load_blocks(request, Limits(), output))
        assert len(blocks) == 70
        parts = [output.write_block(forecast(block, Limits(), output)) for block in blocks]
        parts += [output.write_block(forecast(block, Limits(), output)) for block in blocks[:3]]  # a retry
        outcome = published(parts[-1], output)
        assert published(parts[0], output) == published(parts[-1], output) == outcome
        output.load_rows([outcome])
        output.load_rows([outcome])
        assert output.write_dead_letters(outcome) == []
        receipt = output.write_receipt(outcome)
        assert (receipt.series, receipt.rows) == (70, 210)
        # whatever a runner repeats after the end changes nothing
        published(parts[-1], output)
        output.load_rows([outcome])
        assert output.write_receipt(outcome) == receipt
        data = stage.object(f"f/{name}").download_as_bytes(raw_download=True)
        text = gzip.decompress(data).decode() if name.endswith("gz") else data.decode()
        lines = text.splitlines()
        assert lines[0] == "store,date,prediction,prediction_lower,prediction_upper"
        assert [line.split(",")[0] for line in lines[1::3]] == [f"s{i}" for i in range(70)]
    assert stage.names("f/_dropcast/work/") == []
    assert stage.count("forecasts") == stage.count("latest_forecasts") == 420


def test_a_crash_between_any_two_steps_is_repaired_by_doing_it_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_store, "BLOCK_SERIES", {"native": 2, "stan": 2})
    output = prepared(stage)
    request = request_for(stage, "a.csv", stores(5))
    calls = ("write_block", "publish", "load_rows", "write_dead_letters", "write_receipt")
    for crash in calls:

        class Crashing:
            def __init__(self, at: str) -> None:
                self.at = at

            def __getattr__(self, name: str) -> object:
                if name == self.at:
                    raise ConnectionResetError(name)
                return getattr(output, name)

        with pytest.raises(ConnectionResetError):
            process(request, Limits(), Crashing(crash))  # type: ignore[arg-type]
    assert process(request, Limits(), output)[0].status == "complete"
    with pytest.raises(DoneError):
        process(request, Limits(), output)
    assert stage.count("latest_forecasts") == 15
    assert stage.count("receipts") >= 1


def test_a_large_file_goes_through_work_files(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_store, "SPILL_BYTES", 2000)
    monkeypatch.setattr(row_store, "BLOCK_SERIES", {"native": 2, "stan": 2})
    output = BucketOutput(stage.output, "", batch=False)
    request = request_for(stage, "a.csv", stores(5))
    blocks = list(load_blocks(request, Limits(), output))
    assert all(block.work_file for block in blocks)
    assert any("rows-" in name for name in stage.names(f"f/_dropcast/work/{request.key}"))
    # another reads the same file at the same time, and ends first
    assert process(request, Limits(), output)[0].rows == 15
    parts = [output.write_block(forecast(block, Limits(), output)) for block in blocks]
    outcome = published(parts[-1], output)
    output.load_rows([outcome])
    assert output.write_receipt(outcome).rows == 15
    assert stage.names("f/_dropcast/work/") == []


def test_what_a_crash_left_half_removed_is_done_all_the_same(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_store, "BLOCK_SERIES", {"native": 2, "stan": 2})
    output = prepared(stage)
    request = request_for(stage, "a.csv", stores(5))
    parts = [output.write_block(forecast(b, Limits(), output)) for b in load_blocks(request, Limits(), output)]
    outcome = published(parts[-1], output)
    output.load_rows([outcome])

    def some(bucket: str, names: list[str]) -> None:
        objects_delete(bucket, names[:2])
        raise ConnectionResetError

    objects_delete = objects.delete
    monkeypatch.setattr(objects, "delete", some)
    with pytest.raises(ConnectionResetError):
        output.write_receipt(outcome)
    monkeypatch.setattr(objects, "delete", objects_delete)
    receipt = output.write_receipt(outcome)
    assert (receipt.status, receipt.rows) == ("complete", 15)
    output.load_rows([outcome])
    assert output.write_dead_letters(outcome) == []
    assert stage.count("forecasts") == 15


def test_a_file_that_is_refused_late_leaves_nothing_on_this_machine(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(row_store, "SPILL_BYTES", 2000)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    output = BucketOutput(stage.output, "", batch=False)
    request = request_for(stage, "a.csv", stores(20) + "too,many,cells,here\n")
    assert process(request, Limits(), output)[0].code == "RAGGED_ROW"
    assert list(tmp_path.iterdir()) == []


def test_a_refusal_of_what_was_done_takes_nothing_back(stage: Stage) -> None:
    output = prepared(stage)
    request = request_for(stage, "a.csv", stores(3))
    assert process(request, Limits(max_series=2), output)[0].code == "TOO_MANY_SERIES"
    assert stage.count("open_dead_letters") == 1
    assert process(request, Limits(), output)[0].status == "complete"
    assert stage.count("open_dead_letters") == 0
    refused = unreadable(request, RecordError("SOURCE_GONE", "It is not there.", "Upload it."))
    output.write_dead_letters(refused)
    assert output.write_receipt(refused).status == "complete"
    assert stage.letters() == []
    assert stage.count("latest_forecasts") == 9


def test_rows_that_are_large_go_in_several_requests(stage: Stage) -> None:
    output = prepared(stage)
    names = ["x" * 60_000, "y" * 60_000]
    lines = [f"{name},{line}" for name in names for line in daily().splitlines()[1:]]
    request = request_for(stage, "a.csv", "store,ds,y\n" + "\n".join(lines) + "\n", spec='{"horizon":50}')
    assert process(request, Limits(max_id_length=60_000), output)[0].rows == 100
    assert stage.count("latest_forecasts") == 100


def test_the_views_follow_the_generation_whatever_the_clock_says(stage: Stage) -> None:
    output = prepared(stage)
    old = request_for(stage, "a.csv", daily(), source_time="2026-12-01T00:00:00Z")
    assert process(old, Limits(), output)[0].status == "complete"
    new = request_for(stage, "a.csv", daily(1), source_time="2026-11-01T00:00:00Z")
    assert process(new, Limits(), output)[0].status == "complete"
    assert {row["version"] for row in stage.query("SELECT version FROM `{}.latest_forecasts`")} == {new.version}
    again = dataclasses.replace(new, source_time="2026-11-02T00:00:00Z")
    assert again.key == new.key
    block = next(iter(load_blocks(dataclasses.replace(again, attempt=1), Limits(), output)))
    output.write_block(forecast(dataclasses.replace(block, request=again), Limits(), output))
    assert stage.count("latest_forecasts") == 3


@pytest.mark.parametrize("encoding", ["gzip", None])
def test_a_source_is_read_as_it_is_stored(stage: Stage, encoding: str | None) -> None:
    packed = gzip.compress(daily(rows=4000).encode())
    stage.upload("a.csv", packed, content_encoding=encoding)
    request = request_for(stage, "a.csv")
    output = BucketOutput(stage.output, "", batch=False)
    with output.open_source(request, Limits()) as file:
        assert file.read(6) == packed[:6]
        assert io.BytesIO(packed[6:]).read() == file.read()
        assert file.version() == request.version


def test_rows_that_bigquery_refuses_are_dead_letters_of_their_series(stage: Stage) -> None:
    output = prepared(stage)
    stage.cloud.front.refuse_every("forecasts", 10)
    try:
        receipt, _ = process(request_for(stage, "a.csv", stores(10)), Limits(), output)
    finally:
        stage.cloud.front.refuse_every("forecasts", 0)
    assert (receipt.status, receipt.series, receipt.series_failed, receipt.rows) == ("partial", 10, 3, 27)
    assert stage.count("latest_forecasts") == 27
    assert {letter["code"] for letter in stage.letters()} == {"ROW_REFUSED"}
    assert stage.count("dead_letters", "scope = 'series'") == 3


def test_a_series_that_is_refused_in_two_tables_counts_once(stage: Stage) -> None:
    output = prepared(stage)
    for table in ("forecasts", "actuals"):
        stage.cloud.front.refuse_every(table, 2)
    try:
        receipt, _ = process(request_for(stage, "a.csv", stores(4)), Limits(), output)
    finally:
        for table in ("forecasts", "actuals"):
            stage.cloud.front.refuse_every(table, 0)
    assert (receipt.series, receipt.series_failed, receipt.series_forecast) == (4, 4, 0)
    assert stage.count("dead_letters", "scope = 'series'") == 4
    assert receipt.rows == stage.count("forecasts") == 6


def outcomes_with_a_bad_part(stage: Stage, output: BucketOutput, requests: int, bad: int, table: str) -> list[Outcome]:
    """Forecast several requests up to loading their rows; the part for `table` of request `bad` is no Parquet."""
    outcomes = []
    for number in range(requests):
        request = request_for(stage, f"{number}.csv", daily(number))
        (block,) = load_blocks(request, Limits(), output)
        outcomes.append(published(output.write_block(forecast(block, Limits(), output)), output))
    key = outcomes[bad].request.key
    (part,) = [name for name in stage.names("f/_dropcast/work/") if key in name and f"/{table}-" in name]
    stage.cloud.storage_client().bucket(stage.out).blob(part).upload_from_string(b"no Parquet")
    return outcomes


def test_a_refused_table_does_not_load_the_others_again(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    output = prepared(stage, batch=True)
    outcomes = outcomes_with_a_bad_part(stage, output, requests=4, bad=2, table="actuals")
    monkeypatch.setattr("pipeline.cloud.tables.JOB_WAIT", 0.0)
    output.load_rows(outcomes)
    assert stage.count("forecasts") == 4 * 3, "each once"
    assert stage.count("actuals") == 3 * 3


def test_compose_takes_any_number_of_parts(stage: Stage) -> None:
    bucket = stage.cloud.storage_client().bucket(stage.out)
    names = [f"p/{number:04d}" for number in range(1100)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: bucket.blob(name).upload_from_string(name[-4:]), names))
    between = objects.compose(stage.out, names, clients.storage_client().bucket(stage.out).blob("whole"), 0, "w/")
    assert bucket.blob("whole").download_as_text() == "".join(name[-4:] for name in names)
    assert len(between) == 35 + 2


@pytest.mark.parametrize("batch", [False, True])
def test_history_goes_to_its_table_by_either_route(stage: Stage, batch: bool) -> None:
    from pipeline.cloud.tables import Tables

    assert Tables(stage.dataset).prepare(None) == []
    output = BucketOutput(stage.output, stage.dataset, batch, history=True)
    request = request_for(stage, "a.csv", stores(3))
    assert process(request, Limits(), output)[0].status == "complete"
    assert stage.count("history") == stage.count("latest_history") == 3 * 40
    assert stage.count("forecasts") == 9
    both = "SELECT COUNT(*) AS n FROM `{}.latest_history` JOIN `{}.latest_forecasts` USING (request_key, series_id)"
    assert stage.query(both) == [{"n": 3 * 40 * 3}]


@pytest.mark.parametrize("batch", [False, True])
def test_backtests_go_to_their_table_by_either_route(stage: Stage, batch: bool) -> None:
    output = prepared(stage, batch)
    spec = '{"horizon":3,"model":"auto"}'
    requests = [request_for(stage, "a.csv", stores(3), spec=spec), request_for(stage, "b.csv", stores(2))]
    blocks = [block for request in requests for block in load_blocks(request, Limits(), output)]
    outcomes = [published(output.write_block(forecast(block, Limits(), output)), output) for block in blocks]
    for outcome in output.load_rows(outcomes):  # one with backtests and one without, together
        assert write_receipt(outcome, output).status == "complete"
    assert stage.count("forecasts") == 3 * 3 + 2 * 3
    expected = "model = 'auto' AND coverage BETWEEN 0 AND 1 AND weight = 1"
    assert stage.count("backtests", expected) == 3 * 4, "four cutoffs, and one followed by a gap"
    assert stage.count("accuracy", "model = 'auto'") == 3
    assert stage.count("accuracy", "confidence_level IS NULL") > 3 * 4


@pytest.mark.parametrize("batch", [False, True])
def test_forecasts_are_compared_with_what_came_by_either_route(stage: Stage, batch: bool) -> None:
    output = prepared(stage, batch)
    spec = '{"feed":"sales","horizon":3,"score":false}'
    short = "".join(line for line in stores(2).splitlines(keepends=True) if "2024-02-1" not in line)
    for name, content in (("sales-1.csv", short), ("sales-2.csv", stores(2))):
        assert process(request_for(stage, name, content, spec=spec), Limits(), output)[0].feed == "sales"
    assert stage.count("actuals") == 2 * 2 * 3
    compared = "SELECT series_id, step, actual_value - forecast_value = error AS right_, feed FROM `{}.live_accuracy`"
    found = sorted(stage.query(compared), key=lambda row: (row["series_id"], row["step"]))
    assert [(row["series_id"], row["step"]) for row in found] == [
        (name, step) for name in ("s0", "s1") for step in (1, 2, 3)
    ]
    assert all(row["right_"] and row["feed"] == "sales" for row in found)


def test_a_server_that_never_answers_is_asked_again(
    stage: Stage, through: Callable[..., list[FaultProxy]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(objects.OPTIONS, "timeout", 1)
    request = request_for(stage, "a.csv", daily())
    storage, _ = through([Rule("hang", method="GET", path="alt=media", times=1), Rule("hang", method="GET", times=2)])
    assert process(request, Limits(), BucketOutput(stage.output, "", batch=False))[0].status == "complete"
    assert len(storage.log) == 3


def test_a_source_that_may_not_be_read_is_its_own_dead_letter(
    stage: Stage, through: Callable[..., list[FaultProxy]]
) -> None:
    request = request_for(stage, "a.csv", daily())
    through([Rule("status", method="GET", path=f"{stage.uploads}.*alt=media", code=403)])
    receipt, _ = process(request, Limits(), BucketOutput(stage.output, "", batch=False))
    assert (receipt.status, receipt.code) == ("failed", "SOURCE_FORBIDDEN")


def test_tables_that_may_not_be_read_are_an_error_at_the_start(
    stage: Stage, through: Callable[..., list[FaultProxy]]
) -> None:
    from pipeline.cloud.tables import Tables

    through([], [Rule("status", path="/tables", code=403)])
    problems = Tables(stage.dataset).prepare(None)
    assert len(problems) == len(TABLES)
    assert all("grant BigQuery Data Editor" in problem for problem in problems)


def all_faulty(block: ForecastBlock, code: str = "INTERNAL_ERROR") -> ForecastBlock:
    """Return a block as a try would have it for which memory did not suffice."""
    spec, layout = block.request.parsed_spec, block.layout
    series = faulty_series(
        block.batch.column("ids"), block.batch.column("fault"), RecordError(code, "No memory.", "Try again."), layout
    )
    return dataclasses.replace(block, batch=faulty_forecasts(series, spec))


@pytest.mark.parametrize("batch", [False, True], ids=["streaming", "batch"])
@pytest.mark.parametrize("series", [3, 5], ids=["one part", "several parts"])
@pytest.mark.parametrize("first", ["good", "faulty"])
def test_what_the_first_try_wrote_of_a_part_stands(
    first: str, series: int, batch: bool, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_store, "BLOCK_SERIES", {"native": 3, "stan": 3})
    output = prepared(stage, batch)
    request = request_for(stage, "a.csv", stores(series))
    for faulty in (first == "faulty", first != "faulty"):  # the second has another opinion, of which nothing may come
        blocks = [forecast(block, Limits(), output) for block in load_blocks(request, Limits(), output)]
        assert len(blocks) == (1 if series == 3 else 2)
        blocks[0] = all_faulty(blocks[0]) if faulty else blocks[0]
        outcomes = [output.write_block(block) for block in blocks]
    receipt, letters = finish(published(outcomes[-1], output), output)
    failed = 3 if first == "faulty" else 0
    assert (receipt.series_forecast, receipt.series_failed) == (series - failed, failed)
    assert sum(letter.scope == "series" for letter in letters) == failed
    assert stage.count("latest_forecasts") == receipt.rows == 3 * (series - failed)
    blob = stage.object("f/a.csv")
    assert (blob is None) == (failed == series)
    if blob is not None:
        assert blob.download_as_text().count("\n") == 1 + 3 * (series - failed)

    def left() -> list[str]:  # but for what the reading that crashed has left, for the lifecycle rule
        names = stage.names("f/_dropcast/work/")
        return [name for name in names if {"first", "markers", blocks[0].reading} & set(name.split("/"))]

    assert left() == []
    if receipt.status == "failed":  # that may be tried again
        return
    late = [output.write_block(block) for block in blocks]
    again, _ = finish(published(late[-1], output), output)
    assert again == receipt, "once there is a receipt it stands, whoever is late"
    assert stage.count("latest_forecasts") == receipt.rows
    assert left() == []


def test_a_marker_makes_a_request_suspect_and_its_child_does_the_work(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = prepared(stage)
    request = request_for(stage, "a.csv", daily())
    assert output.begin(request, "load")
    assert not output.begin(request, "load")
    assert output.begin(request, "part-000000")
    children: list[str] = []
    real = process_request.in_child

    def counted(function: Callable[..., object], *arguments: object) -> object:
        children.append(function.__name__)
        return real(function, *arguments)

    monkeypatch.setattr(process_request, "in_child", counted)
    monkeypatch.setattr("pipeline.core.faults.isolation.in_child", counted)
    assert process(request, Limits(), output)[0].status == "complete"
    assert children == ["all_blocks", "forecast_rows"]
    assert stage.names("f/_dropcast/work/") == []


def test_a_fault_of_ours_costs_one_request_its_forecast(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    output = prepared(stage)
    good, bad = request_for(stage, "good.csv", daily()), request_for(stage, "bad.csv", daily(1))
    real = process_request.load_file

    def broken(source: object, *arguments: object) -> object:
        if source.read(0) == b"" and "bad" in str(source._source._blob.name):  # type: ignore[attr-defined]
            raise ZeroDivisionError
        return real(source, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(process_request, "load_file", broken)
    assert process(bad, Limits(), output)[0].code == "INTERNAL_ERROR"
    assert process(good, Limits(), output)[0].status == "complete"
    (letter,) = output.dead_letters(bad.key)
    assert letter.replayable
    (name,) = stage.names("f/_dropcast/errors/")
    assert "ZeroDivisionError" in stage.object(name).download_as_text()
    assert Path(name).stem in letter.message


def test_a_network_error_that_nobody_knows_is_raised_and_never_ours(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = prepared(stage)
    request = request_for(stage, "a.csv", daily())

    class OddError(Exception):
        pass

    def broken(*arguments: object, **options: object) -> bytes:
        raise OddError("nobody has seen this before")

    with monkeypatch.context() as patched:
        patched.setattr("google.cloud.storage.Blob.download_as_bytes", broken)
        with pytest.raises(OddError):
            process(request, Limits(), output)
    assert output.standing_receipt(request) is None
    assert output.dead_letters(request.key) == []
    assert process(request, Limits(), output)[0].status == "complete"


def test_rows_that_bigquery_refuses_cost_their_own_request_alone(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    output = prepared(stage, batch=True)
    outcomes = outcomes_with_a_bad_part(stage, output, requests=5, bad=3, table="forecasts")
    monkeypatch.setattr("pipeline.cloud.tables.JOB_WAIT", 0.0)
    loaded = output.load_rows(outcomes)
    statuses = [write_receipt(write_dead_letters(outcome, output)[0], output).status for outcome in loaded]
    assert statuses == ["complete", "complete", "complete", "failed", "complete"]
    assert [letter.code for letter in output.dead_letters(outcomes[3].request.key)] == ["ROW_REFUSED"]
    assert stage.count("latest_forecasts") == 4 * 3
    assert stage.names("f/_dropcast/work/") == []
