"""Each transform by itself, with Beam's TestPipeline."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam import coders
from apache_beam.testing.test_stream import TestStream
from apache_beam.transforms.window import TimestampedValue

from pipeline.core.blocks import ForecastBlock, SeriesBlock
from pipeline.core.csv_reading import text_chunks
from pipeline.core.elements import DeadLetter, Request
from pipeline.core.errors import RecordError
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.outputs.outcomes import Outcome, WrittenPart
from pipeline.core.process_request import forecast, load_blocks, unreadable
from pipeline.core.requests.local_files import InputFile, request_for
from pipeline.core.series import ranges
from pipeline.destination import Destination
from pipeline.folder.output import FolderOutput
from pipeline.transforms import gather
from pipeline.transforms.deduplicate import Deduplicate
from pipeline.transforms.forecast import Forecast
from pipeline.transforms.load_series import LoadSeries
from pipeline.transforms.read_files import ReadFiles
from pipeline.transforms.write_dead_letters import WriteDeadLetters, WriteStrayDeadLetters
from pipeline.transforms.write_forecasts import WriteForecasts
from pipeline.transforms.write_receipts import WriteReceipts
from tests.transforms.eager import run

pytestmark = pytest.mark.usefixtures("naive_engine")
WriteCsv = Callable[..., Path]
REQUEST = Request("/in/x.csv", "v1", "2024-01-01T00:00:00Z", "x.csv", "{}")


def test_files_become_requests_and_bad_manifests_dead_letters(write_csv: WriteCsv, tmp_path: Path) -> None:
    texts = {"a.csv": "date,y\n", "b.manifest.json": '{"input": "a.csv", "horizon": 3}', "c.manifest.json": "{"}
    files = tuple(InputFile(str(write_csv(name, text)), name) for name, text in texts.items())
    ran = run(ReadFiles(files, "{}", (str(tmp_path),), str(tmp_path / "out")), None)
    requests = sorted((request.output, request.spec) for request in ran.outputs["requests"])
    assert requests == [("a.csv", '{"horizon":3}'), ("a.csv", "{}")]
    assert [(letter.scope, letter.code) for letter in ran.outputs["bad"]] == [("message", "BAD_MANIFEST")]
    assert ran.counters == {"requests": 2, "failures_BAD_MANIFEST": 1}


def test_deduplicate_lets_each_key_through_once() -> None:
    other = dataclasses.replace(REQUEST, attempt=1)
    ran = run(Deduplicate(), [REQUEST, other, REQUEST, REQUEST])
    assert sorted(ran.output, key=lambda request: request.attempt) == [REQUEST, other]
    assert ran.counters["duplicates"] == 2


def test_load_series_gives_blocks_or_the_reason_why_not(write_csv: WriteCsv, tmp_path: Path) -> None:
    paths = (write_csv("good.csv"), write_csv("bad.csv", "x"), tmp_path / "gone.csv")
    requests = [request_for(InputFile(str(path), path.name), ForecastSpec(), []) for path in paths]
    ran = run(LoadSeries(Limits(), Destination(str(tmp_path / "out"))), requests)
    blocks = [(block.request.output, block.part, block.parts, len(block.batch)) for block in ran.outputs["blocks"]]
    assert blocks == [("good.csv", 0, 1, 1)]
    assert sorted(failed.letter.code for failed in ran.outputs["unreadable"]) == ["NO_ROWS", "SOURCE_GONE"]
    assert ran.counters["files_read"] == 1
    assert ran.counters["failures_SOURCE_GONE"] == 1


@pytest.mark.parametrize("sorted_by_series", [True, False])
def test_load_series_reads_a_large_file_in_ranges(
    sorted_by_series: bool, write_csv: WriteCsv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (text_chunks, ranges):
        monkeypatch.setattr(module, "READ_BYTES", 500)
    rows = [f"{s},2024-01-{d:02d},{d}\n" for s in range(600) for d in range(1, 5)]
    if not sorted_by_series:
        random.Random(0).shuffle(rows)
    path = write_csv("large.csv", "store,date,y\n" + "".join(rows))
    bad = write_csv("bad.csv", "store,date,y\n" + "".join(rows) + "1,2024-02-01\n")
    requests = [request_for(InputFile(str(path), path.name), ForecastSpec(), []) for path in (path, bad)]
    whole, ranged = (
        run(LoadSeries(Limits(), Destination(str(tmp_path / f"out{size}")), size), requests) for size in (0, 2000)
    )
    assert [block.part for block in whole.outputs["blocks"]] == [0, 1]
    found = sorted(ranged.outputs["blocks"], key=lambda block: block.part)
    assert [(block.part, block.parts, block.work_file) for block in found] == [(0, 2, "ranges"), (1, 2, "ranges")]
    assert all(len(block.slices) > 1 for block in found)
    output, limits = FolderOutput(tmp_path / "out2000"), Limits()
    for block, expected in zip(found, sorted(whole.outputs["blocks"], key=lambda block: block.part), strict=True):
        assert forecast(block, limits, output).batch.equals(forecast(expected, limits, output).batch)
    for ran in (whole, ranged):
        assert [failed.letter.code for failed in ran.outputs["unreadable"]] == ["RAGGED_ROW"]
        assert (ran.counters["files_read"], ran.counters["failures_RAGGED_ROW"]) == (1, 1)


def blocks_of(write_csv: WriteCsv, tmp_path: Path, stores: int) -> list[SeriesBlock]:
    text = "store,date,y\n" + "".join(f"{s},2024-01-{d:02d},{d}\n" for s in range(stores) for d in range(1, 15))
    path = write_csv("stores.csv", text)
    request = request_for(InputFile(str(path), "stores.csv"), ForecastSpec(), [])
    return list(load_blocks(request, Limits(), FolderOutput(tmp_path / "work")))


def test_forecast_gives_each_block_its_forecasts(write_csv: WriteCsv, tmp_path: Path) -> None:
    ran = run(Forecast(Limits(), Destination(str(tmp_path / "out"))), blocks_of(write_csv, tmp_path, 600))
    found = sorted((block.part, len(block.batch), block.model) for block in ran.output)
    assert found == [(0, 512, "naive 1"), (1, 88, "naive 1")]


def forecasts_of(blocks: list[SeriesBlock], tmp_path: Path) -> list[ForecastBlock]:
    return [forecast(block, Limits(), FolderOutput(tmp_path / "work")) for block in blocks]


@pytest.mark.parametrize(("stores", "parts"), [(3, 1), (1100, 3)])
def test_write_forecasts_waits_for_all_parts_however_often_they_come(
    stores: int, parts: int, write_csv: WriteCsv, tmp_path: Path
) -> None:
    forecasts = forecasts_of(blocks_of(write_csv, tmp_path, stores), tmp_path)
    assert len(forecasts) == parts
    again = [*forecasts, forecasts[0]] if parts > 1 else forecasts
    ran = run(WriteForecasts(Destination(str(tmp_path / "out"))), again)
    assert {(written.request.output, written.parts) for written in ran.output} == {("stores.csv", parts)}
    assert len((tmp_path / "out/stores.csv").read_text().splitlines()) == 1 + stores * 28


def test_the_set_of_parts_is_read_only_when_it_may_be_whole() -> None:
    """Reading it for each part would take quadratic time on a runner that keeps it elsewhere."""

    class Parts(set[int]):
        reads = 0

        def read(self) -> list[int]:
            self.reads += 1
            return list(self)

    class Notes(list[int]):
        add = list.append

        def read(self) -> int:
            return len(self)

    parts, notes = Parts(), Notes()
    request = Request("/in/a.csv", "v", "2026-01-01T00:00:00Z", "a.csv", "{}")
    come = [*range(98), 5, 7, 98, 99]  # two come twice
    whole = [
        list(gather.whole_request(WrittenPart(request, part, 100), parts, notes))
        for part in come  # type: ignore[arg-type]
    ]
    assert [len(found) for found in whole] == [0] * 101 + [1]
    assert parts.reads == 3


def test_write_forecasts_publishes_nothing_while_a_part_is_missing(write_csv: WriteCsv, tmp_path: Path) -> None:
    forecasts = forecasts_of(blocks_of(write_csv, tmp_path, 1100), tmp_path)
    assert len(forecasts) == 3
    ran = run(WriteForecasts(Destination(str(tmp_path / "out"))), forecasts[1:])
    assert ran.output == []
    assert ran.counters["series"] == 1100 - 512, "the other parts were written"
    assert not (tmp_path / "out/stores.csv").exists()


def test_dead_letters_and_receipts_are_written_for_a_file_that_failed(tmp_path: Path) -> None:
    failed = unreadable(REQUEST, RecordError("BAD_GZIP", "Damaged.", "Compress it again."))
    lettered = run(WriteDeadLetters(Destination(str(tmp_path))), beam.Create([failed]).with_output_types(Outcome))
    assert lettered.output == [failed]
    ran = run(WriteReceipts(Destination(str(tmp_path))), beam.Create([failed]).with_output_types(Outcome))
    assert [(receipt.status, receipt.code) for receipt in ran.output] == [("failed", "BAD_GZIP")]
    assert ran.counters["receipts_failed"] == 1
    assert [letter.code for letter in FolderOutput(tmp_path).dead_letters(REQUEST.key)] == ["BAD_GZIP"]


def test_stray_dead_letters_are_kept_as_files(tmp_path: Path) -> None:
    letter = DeadLetter.of(REQUEST, "message", "ReadRequests", "", RecordError("BAD_MANIFEST", "Not JSON.", "Fix it."))
    assert run(WriteStrayDeadLetters(Destination(str(tmp_path))), [letter]).output == [letter]
    stray = next((tmp_path / "_dropcast/dead_letters").glob("message-*.ndjson"))
    assert DeadLetter.from_json(stray.read_text()) == letter


def test_a_key_is_remembered_for_a_while_and_then_forgotten() -> None:
    week = 7 * 24 * 3600
    again = dataclasses.replace(REQUEST, source_time="2030-01-01T00:00:00Z")  # no part of the key
    messages = (
        TestStream(coder=coders.registry.get_coder(Request))
        .add_elements([TimestampedValue(REQUEST, 0), TimestampedValue(again, 0)])
        .advance_watermark_to(week - 1)
        .add_elements([TimestampedValue(again, week - 1)])
        .advance_watermark_to(week + 1)
        .add_elements([TimestampedValue(again, week + 1)])
        .advance_watermark_to_infinity()
    )
    assert run(Deduplicate(batch=False), messages, streaming=True).output == [REQUEST, again]
