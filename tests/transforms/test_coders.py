from __future__ import annotations

from datetime import datetime

import pyarrow as pa
import pytest
from apache_beam import coders
from hypothesis import given
from hypothesis import strategies as st

from pipeline.coders import CODERS
from pipeline.core.blocks import ForecastBlock, SeriesBlock
from pipeline.core.csv_reading.dialect import PLAIN
from pipeline.core.dates.date_style import DateStyle
from pipeline.core.elements import DeadLetter, Receipt, Request
from pipeline.core.errors import RecordError
from pipeline.core.outputs.outcomes import (
    BlockSummary,
    FailedRequest,
    Outcome,
    SupersededRequest,
    WrittenPart,
    WrittenRequest,
)
from pipeline.core.series.arrow_lists import TIMESTAMPS
from pipeline.core.series.batch import series_schema
from pipeline.core.series.layout import Layout

TEXT = st.text(st.characters(codec="utf-8"))
REQUESTS = st.builds(Request, TEXT, TEXT, st.just("2024-01-01T00:00:00Z"), TEXT, st.just("{}"), st.integers(0, 9), TEXT)
BATCH = pa.record_batch(
    [pa.array(["a"]), pa.array([["a"]]), pa.array(["D"]), pa.array([[1]], pa.list_(pa.timestamp("us"))),
     pa.array([[1.5]]), pa.array([[2]], pa.list_(pa.timestamp("us"))), pa.array([None], pa.string()),
     pa.array([None], pa.string())],
    schema=series_schema(()),
)  # fmt: skip
LAYOUT = Layout(("store", "item"), "y", DateStyle("date"), ("price",), ("a note",), dialect=PLAIN)


def round_trip(element: object, kind: type | None = None) -> object:
    coder = coders.registry.get_coder(kind or type(element))
    encoded = coder.encode(element)
    assert coder.encode(element) == encoded
    return coder.decode(encoded)


@given(request=REQUESTS, failure=TEXT)
def test_small_elements_come_back_as_they_were(request: Request, failure: str) -> None:
    letter = DeadLetter.of_file(request, "LoadSeries", RecordError("BAD_DATE", failure, "x.", line=3, found=failure))
    for element in (request, WrittenPart(request, 1, 3, "reading"), letter):
        assert round_trip(element) == element


@given(request=REQUESTS, text=TEXT, score=st.floats(allow_nan=False))
def test_every_outcome_comes_back_as_it_was(request: Request, text: str, score: float) -> None:
    letter = DeadLetter.of_file(request, "LoadSeries", RecordError("BAD_DATE", text, "x.", line=3, found=text))
    summary = BlockSummary(
        notes=(text,), series_notes={text: 2}, letters=(letter,), first_fault=text, series=3, failed=1, refused=0,
        rows=56, frequencies=("D", "W"), mase=(score,), weights={text: 0.5},
        inside={"80": (1.5, 2)}, tried=((score, 0.5),), load_seconds=0.5, fit_seconds=0.25, model=text,
        work_files=True, cut="0" * 16, waits_to_load=("forecasts", "backtests"),
    )  # fmt: skip
    one, several = WrittenRequest(request, 1, "reading", summary), WrittenRequest(request, 3, "reading")
    failed, superseded = FailedRequest(request, letter), SupersededRequest(request)
    outcomes = (
        one,
        several,
        failed,
        superseded,
        FailedRequest(request, letter, one),
        SupersededRequest(request, several),
    )
    assert {type(outcome) for outcome in outcomes} == set(Outcome.__subclasses__())
    for outcome in outcomes:
        assert round_trip(outcome, Outcome) == outcome


@given(request=REQUESTS, part=st.integers(0, 10**6), seconds=st.floats(0, 1e6))
def test_blocks_come_back_as_they_were(request: Request, part: int, seconds: float) -> None:
    series = SeriesBlock(request, part, part + 1, LAYOUT, BATCH, "rows-000000.bin", 1, 2, seconds)
    forecasts = ForecastBlock(request, part, part + 1, LAYOUT, BATCH, seconds, seconds, "naive 1")
    assert round_trip(series) == series
    assert round_trip(forecasts) == forecasts


def test_a_receipt_without_a_score_comes_back() -> None:
    numbers = {"attempt": 0, "series": 1, "series_forecast": 1, "series_failed": 0, "rows": 28, "score_series": 0,
               "load_seconds": 0.1, "fit_seconds": 0.2, "score_mase": None}  # fmt: skip
    receipt = Receipt(**{name: numbers.get(name, "x") for name in Receipt.__dataclass_fields__})
    assert round_trip(receipt) == receipt


@pytest.mark.parametrize("element", CODERS)
def test_each_element_has_its_coder_and_it_is_deterministic(element: type) -> None:
    coder = coders.registry.get_coder(element)
    assert type(coder) is CODERS[element]
    assert coder.is_deterministic()


def test_a_slice_of_a_batch_is_encoded_without_the_rest() -> None:
    big = pa.record_batch({"series_id": pa.array([f"series {i}" for i in range(10_000)])})
    request = Request("a", "b", "2024-01-01T00:00:00Z", "c", "{}")
    coder = coders.registry.get_coder(SeriesBlock)
    assert len(coder.encode(SeriesBlock(request, 0, 1, LAYOUT, big.slice(5000, 2)))) < 2000


def test_series_on_the_same_dates_carry_them_once() -> None:
    days = [[datetime(2024, 1, 1 + day) for day in range(30)], [datetime(2024, 2, 1 + day) for day in range(20)]]
    batch = pa.record_batch({"ds": pa.array([days[0]] * 50 + [days[1]] + [days[0]] * 2, TIMESTAMPS)})
    block = SeriesBlock(Request("a.csv", "v", "2024-01-01T00:00:00Z", "a.csv", "{}"), 0, 1, LAYOUT, batch)
    coder = coders.registry.get_coder(SeriesBlock)
    encoded = coder.encode(block)
    assert len(encoded) < batch.nbytes / 4
    assert coder.decode(encoded) == block
