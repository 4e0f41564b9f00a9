"""Each transform by itself, with Beam's TestPipeline."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam import coders
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.test_pipeline import TestPipeline
from apache_beam.testing.test_stream import TestStream
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.window import TimestampedValue

from pipeline.core.blocks import ForecastBlock, SeriesBlock
from pipeline.core.elements import DeadLetter, Request
from pipeline.core.errors import RecordError
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.process_request import forecast, load_blocks, unreadable
from pipeline.core.requests.local_files import InputFile, request_for
from pipeline.folder.output import FolderOutput
from pipeline.places import Destination
from pipeline.transforms.deduplicate import Deduplicate
from pipeline.transforms.forecast import Forecast
from pipeline.transforms.load_series import LoadSeries
from pipeline.transforms.read_files import ReadFiles
from pipeline.transforms.write_dead_letters import WriteDeadLetters, WriteStrayDeadLetters
from pipeline.transforms.write_forecasts import WriteForecasts
from pipeline.transforms.write_receipts import WriteReceipts

pytestmark = pytest.mark.usefixtures("naive_engine")
WriteCsv = Callable[..., Path]
REQUEST = Request("/in/x.csv", "v1", "2024-01-01T00:00:00Z", "x.csv", "{}")


def counters(pipeline: TestPipeline) -> dict[str, int]:
    found = pipeline.result.metrics().query()["counters"]
    return {metric.key.metric.name: metric.committed for metric in found if metric.key.metric.namespace == "dropcast"}


def test_read_requests_tells_requests_from_bad_manifests(write_csv: WriteCsv, tmp_path: Path) -> None:
    files = tuple(
        InputFile(str(write_csv(name, text)), name)
        for name, text in (
            ("a.csv", "date,y\n"),
            ("b.manifest.json", '{"input": "a.csv", "horizon": 3}'),
            ("c.manifest.json", "{"),
        )
    )
    with TestPipeline() as pipeline:
        read = pipeline | ReadFiles(files, "{}", (str(tmp_path),), str(tmp_path / "out"))
        assert_that(
            read["requests"] | beam.Map(lambda r: (r.output, r.spec)),
            equal_to([("a.csv", "{}"), ("a.csv", '{"horizon":3}')]),
            "requests",
        )
        assert_that(read["bad"] | beam.Map(lambda d: (d.scope, d.code)), equal_to([("message", "BAD_MANIFEST")]), "bad")
    assert counters(pipeline) == {"requests": 2, "failures_BAD_MANIFEST": 1}


def test_deduplicate_lets_each_key_through_once() -> None:
    other = dataclasses.replace(REQUEST, attempt=1)
    with TestPipeline() as pipeline:
        fresh = pipeline | beam.Create([REQUEST, other, REQUEST, REQUEST]) | Deduplicate()
        assert_that(fresh, equal_to([REQUEST, other]))
    assert counters(pipeline)["duplicates"] == 2


def test_load_series_gives_blocks_or_the_reason_why_not(write_csv: WriteCsv, tmp_path: Path) -> None:
    requests = [
        request_for(InputFile(str(path), path.name), ForecastSpec(), [])
        for path in (write_csv("good.csv"), write_csv("bad.csv", "x"), tmp_path / "gone.csv")
    ]
    with TestPipeline() as pipeline:
        loaded = pipeline | beam.Create(requests) | LoadSeries(Limits(), Destination(str(tmp_path / "out")))
        assert_that(
            loaded["blocks"] | beam.Map(lambda b: (b.request.output, b.part, b.parts, len(b.batch))),
            equal_to([("good.csv", 0, 1, 1)]),
            "blocks",
        )
        codes = loaded["unreadable"] | beam.Map(lambda o: o.letter.code)
        assert_that(codes, equal_to(["NO_ROWS", "SOURCE_GONE"]), "unreadable")
    assert counters(pipeline)["files_read"] == 1
    assert counters(pipeline)["failures_SOURCE_GONE"] == 1


def blocks_of(write_csv: WriteCsv, tmp_path: Path, stores: int) -> list[SeriesBlock]:
    text = "store,date,y\n" + "".join(f"{s},2024-01-{d:02d},{d}\n" for s in range(stores) for d in range(1, 15))
    path = write_csv("stores.csv", text)
    request = request_for(InputFile(str(path), "stores.csv"), ForecastSpec(), [])
    return list(load_blocks(request, Limits(), FolderOutput(tmp_path / "work")))


def test_forecast_gives_each_block_its_forecasts(write_csv: WriteCsv, tmp_path: Path) -> None:
    blocks = blocks_of(write_csv, tmp_path, 600)
    with TestPipeline() as pipeline:
        forecasts = pipeline | beam.Create(blocks) | Forecast(Limits(), Destination(str(tmp_path / "out")))
        assert_that(
            forecasts | beam.Map(lambda f: (f.part, len(f.batch), f.model)),
            equal_to([(0, 512, "naive 1"), (1, 88, "naive 1")]),
        )


def forecasts_of(blocks: list[SeriesBlock], tmp_path: Path) -> list[ForecastBlock]:
    return [forecast(block, Limits(), FolderOutput(tmp_path / "work")) for block in blocks]


@pytest.mark.parametrize("stores", [3, 200])
def test_write_forecasts_waits_for_all_parts_however_often_they_come(
    stores: int, write_csv: WriteCsv, tmp_path: Path
) -> None:
    forecasts = forecasts_of(blocks_of(write_csv, tmp_path, stores), tmp_path)
    again = [*forecasts, forecasts[0]] if len(forecasts) > 1 else forecasts
    with TestPipeline() as pipeline:
        written = pipeline | beam.Create(again) | WriteForecasts(Destination(str(tmp_path / "out")))
        assert_that(
            written | beam.Map(lambda o: (o.request.output, o.parts)) | beam.Distinct(),
            equal_to([("stores.csv", len(forecasts))]),
        )
    assert len((tmp_path / "out/stores.csv").read_text().splitlines()) == 1 + stores * 28


def test_write_forecasts_publishes_nothing_while_a_part_is_missing(write_csv: WriteCsv, tmp_path: Path) -> None:
    forecasts = forecasts_of(blocks_of(write_csv, tmp_path, 200), tmp_path)
    with TestPipeline() as pipeline:
        written = pipeline | beam.Create(forecasts[1:]) | WriteForecasts(Destination(str(tmp_path / "out")))
        assert_that(written, equal_to([]))
    assert not (tmp_path / "out/stores.csv").exists()


def test_dead_letters_and_receipts_are_written_for_a_file_that_failed(tmp_path: Path) -> None:
    failed = unreadable(REQUEST, RecordError("BAD_GZIP", "Damaged.", "Compress it again."))
    with TestPipeline() as pipeline:
        lettered = pipeline | beam.Create([failed]) | WriteDeadLetters(Destination(str(tmp_path)))
        receipts = lettered | WriteReceipts(Destination(str(tmp_path)))
        assert_that(receipts | beam.Map(lambda r: (r.status, r.code)), equal_to([("failed", "BAD_GZIP")]))
    assert counters(pipeline)["receipts_failed"] == 1
    assert [letter.code for letter in FolderOutput(tmp_path).dead_letters(REQUEST.key)] == ["BAD_GZIP"]


def test_stray_dead_letters_are_kept_as_files(tmp_path: Path) -> None:
    letter = DeadLetter.of(REQUEST, "message", "ReadRequests", "", RecordError("BAD_MANIFEST", "Not JSON.", "Fix it."))
    with TestPipeline() as pipeline:
        written = pipeline | beam.Create([letter]) | WriteStrayDeadLetters(Destination(str(tmp_path)))
        assert_that(written, equal_to([letter]))
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
    with TestPipeline(options=PipelineOptions(streaming=True)) as pipeline:
        kept = pipeline | messages | Deduplicate(batch=False)
        assert_that(kept, equal_to([REQUEST, again]))
