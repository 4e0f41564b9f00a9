from __future__ import annotations

import csv
import io
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.core.arrays import Ints
from pipeline.core.csv_reading.row_reader import Rows
from pipeline.core.errors import RecordError
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.series import batch as batch_module
from pipeline.core.series import row_store
from pipeline.core.series.arrow_lists import lists_of
from pipeline.core.series.batch import series_id
from pipeline.core.series.load import LoadedFile, load_file, resolve_reference
from pipeline.core.series.row_store import BlockSizes, RowStore, read_work_file

IDS = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), min_size=1, max_size=8)


def load(text: str, work: Path, **options: Any) -> LoadedFile:
    return load_file(io.BytesIO(text.encode()), ForecastSpec(**options), Limits(), work)


def series_of(loaded: LoadedFile) -> dict[str, tuple[list[int], list[float]]]:
    found = {}
    for batch in loaded.batches():
        assert batch.column("fault").null_count == len(batch), batch.column("fault").to_pylist()
        for name, dates, values in zip(
            batch.column("series_id").to_pylist(), lists_of(batch, "ds"), lists_of(batch, "y"), strict=True
        ):
            found[name] = (dates.tolist(), values.tolist())
    return found


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ids=st.lists(IDS, min_size=1, max_size=5, unique=True), seed=st.integers(0, 1000))
def test_rows_in_any_order_come_back_as_they_were_written(ids: list[str], seed: int, tmp_path: Path) -> None:
    random = np.random.default_rng(seed)
    dates = np.datetime64("2024-01-01") + np.arange(20)
    values = {name: random.normal(0, 10.0 ** random.integers(-5, 9), 20) for name in ids}
    rows = [(name, str(d), repr(float(v))) for name in ids for d, v in zip(dates, values[name], strict=True)]
    random.shuffle(rows)
    text = io.StringIO()
    csv.writer(text).writerows([("unique_id", "ds", "y"), *rows])
    found = series_of(load(text.getvalue(), tmp_path, id_columns="unique_id"))
    assert list(found) == list(dict.fromkeys(row[0] for row in rows))  # in order of appearance
    for name in ids:
        assert found[name] == (dates.astype("datetime64[us]").astype(np.int64).tolist(), values[name].tolist())


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(series=st.integers(1, 700), rows=st.integers(1, 4000), seed=st.integers(0, 1000), extras=st.integers(0, 2))
def test_work_files_give_back_what_memory_would(series: int, rows: int, seed: int, extras: int, tmp_path: Path) -> None:
    random = np.random.default_rng(seed)
    sizes = BlockSizes(series=64, row=16 + 8 * extras, future=0, forecast=1)
    stores = [
        RowStore(tmp_path / "memory", extras, Limits(max_rows=50), sizes),
        RowStore(tmp_path / "disk", extras, Limits(max_rows=50), sizes, spill_bytes=1000),
    ]
    for start in range(0, rows, 500):
        n = min(500, rows - start)
        part = Rows(random.integers(0, series, n), random.integers(0, 10**15, n), random.normal(size=n),
                    np.arange(start, start + n), random.normal(size=(n, extras)))  # fmt: skip
        for store in stores:
            store.add(part)
    for store in stores:
        store.finish(series)
    memory, disk = ([(f, last, *vars(r).values()) for f, last, r in store.read_all()] for store in stores)
    assert len(memory) == len(disk)
    for one, other in zip(memory, disk, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_large_file_forecasts_like_a_small_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    dates = (np.datetime64("2024-01-01") + np.arange(30)).astype(str)
    rows = [f"{s:04d},{d},{random.normal():.3f}" for s in range(300) for d in dates]
    random.shuffle(rows)
    text = "store,date,y\n" + "\n".join(rows) + "\n0005,2024-02-01,oops\n"
    small = [batch.to_pylist() for batch in load(text, tmp_path).batches()]
    monkeypatch.setattr(row_store, "SPILL_BYTES", 1000)
    loaded = load(text, tmp_path / "work")
    assert loaded.store.spilled
    large = [
        resolve_reference(
            read_work_file(tmp_path / "work" / name, first, last, 0),
            first,
            batch,
            loaded.layout,
            loaded.spec,
            loaded.limits,
        )
        for name, first, last, batch in loaded.references()
    ]
    assert [batch.to_pylist() for batch in large] == small
    assert sum(batch.column("fault").is_valid().to_pylist().count(True) for batch in large) == 1


def test_series_names_of_several_ids_never_collide() -> None:
    assert series_id(("a/b", "c"), "y") != series_id(("a", "b/c"), "y")
    assert series_id(("a\\", "b"), "y") != series_id(("a", "\\/b"), "y")
    assert series_id(("north", "007"), "y") == "north/007"
    assert series_id(("a/b",), "y") == "a/b"
    assert series_id((), "sales") == "sales"


def test_ids_stay_as_they_stand(tmp_path: Path) -> None:
    lines = "".join(f'"{i}",2024-01-{d:02d},{d}\n' for i in ("007", "=1+1", " x ", "NA", "a\nb") for d in range(1, 21))
    found = series_of(load("store,date,y\n" + lines, tmp_path))
    assert list(found) == ["007", "=1+1", " x ", "NA", "a\nb"]


@pytest.mark.parametrize(("rule", "value"), [("first", 1.0), ("last", 3.0), ("mean", 2.0), ("sum", 4.0)])
def test_each_rule_for_duplicates_does_as_its_name_says(rule: str, value: float, tmp_path: Path) -> None:
    text = "date,y\n" + "".join(f"2024-01-{d:02d},1\n" for d in range(1, 21)) + "2024-01-05,3\n"
    found = series_of(load(text, tmp_path, duplicates=rule))
    assert found["y"][1][4] == value


def test_offsets_are_kept_on_the_clock_and_utc_in_the_style(tmp_path: Path) -> None:
    text = "ds,y\n" + "".join(f"2024-01-{d:02d}T00:00:00+02:00,{d}\n" for d in range(1, 21))
    loaded = load(text, tmp_path)
    dates = np.array(series_of(loaded)["y"][0])
    assert str(dates.astype("datetime64[us]")[0]) == "2024-01-01T00:00:00.000000"
    assert loaded.layout.style.to_utc(dates)[0] == dates[0] - 2 * 3600 * 10**6


def test_extra_columns_span_history_and_horizon(tmp_path: Path) -> None:
    text = "date,y,temp\n" + "".join(f"2024-01-{d:02d},{d if d < 21 else ''},{d / 2}\n" for d in range(1, 29))
    loaded = load(text, tmp_path, regressors="temp", horizon=7)
    batch = next(loaded.batches())
    assert batch.column("fault").to_pylist() == [None]
    assert lists_of(batch, "extra_temp")[0].tolist() == [d / 2 for d in range(1, 28)]


def test_blocks_are_bounded_in_series_and_bytes(tmp_path: Path) -> None:
    store = RowStore(tmp_path, 0, Limits(max_rows=1000), BlockSizes(series=256, row=1, future=0, forecast=1, most=100))
    codes = np.repeat(np.arange(200), np.r_[np.full(100, 30), np.full(99, 1), 500])
    n = len(codes)
    store.add(Rows(codes, np.arange(n), np.ones(n), np.arange(n), np.empty((n, 0))))
    store.finish(200)
    blocks = store.blocks()
    assert [first for first, _ in blocks[1:]] == [last for _, last in blocks[:-1]]
    assert (blocks[0][0], blocks[-1][1]) == (0, 200)
    for first, last in blocks:
        assert last - first <= 256
        assert store.counts[first:last].sum() <= 100 or last - first == 1
    assert store.spilled, "a series that is larger than a block travels by reference"


def test_blocks_are_bounded_by_what_comes_of_them(tmp_path: Path) -> None:
    spec = ForecastSpec(horizon=100_000, level="50,80")
    sizes = BlockSizes.of(spec, 0)
    store = RowStore(tmp_path, 0, Limits(max_rows=1000), sizes)
    codes = np.repeat(np.arange(300), 5)
    store.add(Rows(codes, np.arange(1500), np.ones(1500), np.arange(1500), np.empty((1500, 0))))
    store.finish(300)
    assert not store.spilled
    most = max(last - first for first, last in store.blocks())
    assert 1 < most * 100_000 * 8 * 6 <= sizes.most  # dates, forecast, two ends of two intervals
    assert len(store.blocks()) == -(-300 // most)


def test_an_id_may_begin_with_what_looks_like_a_byte_order_mark(tmp_path: Path) -> None:
    rows = "".join(f"\ufeff,2024-01-{day:02d},{day}\n" for day in range(1, 15))
    spec = ForecastSpec(id_columns=("store",))
    loaded = load_file(io.BytesIO(f"store,ds,y\n{rows}".encode()), spec, Limits(), tmp_path)
    assert loaded.ids == [("\ufeff",)]


def test_blank_lines_above_the_header_count_as_lines(tmp_path: Path) -> None:
    rows = [f"2024-01-{day:02d},{'oops' if day == 9 else day}" for day in range(1, 15)]
    lines = ["", " ", "", "date,y", *rows]
    (batch,) = load("\n".join(lines) + "\n", tmp_path).batches()
    fault = RecordError.from_json(batch.column("fault")[0].as_py())
    assert (fault.code, fault.line) == ("BAD_NUMBER", lines.index("2024-01-09,oops") + 1)


def test_text_that_changes_far_below_the_sample_is_an_id_if_dates_repeat(tmp_path: Path) -> None:
    days = [str(np.datetime64("2023-01-01") + day) for day in range(400)]
    rows = "".join(f"{name},{day},{i % 7}\n" for name in "AB" for i, day in enumerate(days))
    loaded = load(f"filiale,date,sales\n{rows}", tmp_path)
    assert loaded.ids == [("A",), ("B",)]
    assert loaded.layout.notes[-1] == "series are told apart by filiale, without which dates repeat"


def test_a_column_that_is_empty_far_below_the_sample_may_be_an_id(tmp_path: Path) -> None:
    days = [str(np.datetime64("2023-01-01") + day) for day in range(400)]
    rows = "".join(f"{day},{i % 7},{'promo' if i > 350 else ''}\n" for i, day in enumerate(days))
    assert load(f"date,sales,note\n{rows}", tmp_path).layout.notes == ("columns not used: note",)
    numbers = rows.replace("promo", "3")
    assert load(f"date,sales,note\n{numbers}", tmp_path).layout.notes == ("columns not used: note",)


def test_text_of_too_many_rows_is_asked_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.core.series.load.MAX_EVIDENCE_ROWS", 50)
    days = [str(np.datetime64("2023-01-01") + day) for day in range(60)]
    rows = "".join(f"{name},{day},{i % 7}\n" for i, day in enumerate(days) for name in "AB")
    with pytest.raises(RecordError, match="too large to decide from its rows") as caught:
        load(f"filiale,date,sales\n{rows}", tmp_path)
    assert caught.value.hint == "Use --id_columns=filiale if it does, --id_columns=none if it does not."


def test_text_that_changes_far_below_the_sample_is_asked_about(tmp_path: Path) -> None:
    days = [str(np.datetime64("2023-01-01") + day) for day in range(6000)]
    rows = (f"{'A' if i < 5000 else 'B'},{day},{i % 7}\n" for i, day in enumerate(days))
    stacked = "remark,date,sales\n" + "".join(rows)
    with pytest.raises(
        RecordError, match=r"'remark' may tell series apart.*is 'A' at first, and 'B' on line 5002"
    ) as caught:
        load(stacked, tmp_path)
    assert caught.value.code == "AMBIGUOUS_ID_COLUMN"
    assert len(load(stacked, tmp_path, id_columns="remark").ids) == 2
    assert len(load(stacked, tmp_path, id_columns="none").ids) == 1
    assert load(stacked.replace("B,", "A,").replace("A,", ",", 1), tmp_path).rows == 6000


def test_a_series_that_raises_what_nobody_foresaw_has_a_fault_and_its_neighbours_have_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = batch_module.zero_filled

    def broken(dates: Any, values: Any, *rest: Any) -> Any:
        if values[0] == 7:
            raise ZeroDivisionError
        return real(dates, values, *rest)

    monkeypatch.setattr(batch_module, "zero_filled", broken)
    rows = "".join(f"{name},2024-01-{day:02d},{y}\n" for name, y in zip("abc", (5, 7, 9), strict=True)
                   for day in range(1, 15))  # fmt: skip
    (batch,) = load(f"store,date,y\n{rows}", tmp_path, fill_missing="zero", horizon=3).batches()
    assert (batch.column("series_id").to_pylist(), batch.column("ids").to_pylist()) == (
        ["a", "b", "c"], [["a"], ["b"], ["c"]])  # fmt: skip
    faults = [None if text is None else RecordError.from_json(text).code for text in batch.column("fault").to_pylist()]
    assert faults == [None, "INTERNAL_ERROR", None]
    assert [len(dates) for dates in lists_of(batch, "ds")] == [14, 0, 14]
    assert [len(dates) for dates in lists_of(batch, "future")] == [3, 0, 3]


def test_questions_that_answer_each_other_come_to_an_end(tmp_path: Path) -> None:
    rows = "".join(
        f"2025-01-{day:02d},{hour:02d}:00,{hour + 1:02d}:00,1\n" for day in range(1, 9) for hour in range(23)
    )
    with pytest.raises(RecordError) as caught:
        load(f"Date,From,To,kW\n{rows}", tmp_path)
    assert caught.value.hint == "Use --date_column=Date,From to join them, or --id_columns=From."
    assert load(f"Date,From,To,kW\n{rows}", tmp_path, date_column="Date,From").rows == 184


def test_a_file_may_take_no_more_of_the_disk_than_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.core.series.row_store.SPILL_BYTES", 4000)
    text = "ds,y\n" + "".join(f"{day},{i}\n" for i, day in enumerate(pd.date_range("2000-01-01", periods=1000).date))
    for limits in (Limits(max_work_bytes=24_000), Limits(max_work_bytes=23_999)):
        try:
            found = load_file(io.BytesIO(text.encode()), ForecastSpec(), limits, tmp_path / "work")
            assert found.store.spilled
            assert sum(path.stat().st_size for path in (tmp_path / "work").iterdir()) == 24_000
        except RecordError as error:
            assert limits.max_work_bytes < 24_000
            assert error.code == "TOO_MANY_BYTES"
            assert "--max_work_bytes" in error.hint
    table = io.BytesIO()
    pd.read_csv(io.StringIO(text), parse_dates=[0]).to_parquet(table)
    with pytest.raises(RecordError, match="of disk"):
        load_file(io.BytesIO(table.getvalue()), ForecastSpec(), Limits(max_work_bytes=table.tell() - 1), tmp_path)


def test_blocks_are_counted_once_however_many_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []
    real = row_store.block_bounds

    def bounds(counts: Ints, sizes: BlockSizes, max_rows: int) -> list[tuple[int, int]]:
        counted.append(len(counts))
        return real(counts, sizes, max_rows)

    monkeypatch.setattr(row_store, "block_bounds", bounds)
    rows = "".join(f"{s},2024-01-{d:02d},{d}\n" for s in range(1200) for d in range(1, 29))
    path = tmp_path / "many.csv"
    path.write_text("store,date,y\n" + rows)
    with path.open("rb") as file:
        loaded = load_file(file, ForecastSpec(), Limits(), tmp_path / "work")
    parts = [(number, loaded.parts) for number, _ in enumerate(loaded.batches())]
    assert parts == [(0, 3), (1, 3), (2, 3)]
    assert counted == [1200], "each count looks at every series"


def test_a_file_of_more_lines_than_a_work_file_can_number_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.core.series.row_store.SPILL_BYTES", 4000)
    monkeypatch.setattr("pipeline.core.series.row_store.MOST_LINES", 900)
    days = pd.date_range("2000-01-01", periods=1000).date
    text = "ds,y\n" + "".join(f"{day},{i}\n" for i, day in enumerate(days))
    with pytest.raises(RecordError, match="more than 900 lines"):
        load_file(io.BytesIO(text.encode()), ForecastSpec(), Limits(), tmp_path / "work")


def test_nothing_is_written_any_more_once_a_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is removed then, or the file is read again into it."""
    monkeypatch.setattr(row_store, "SPILL_BYTES", 1000)
    begun: list[int] = []
    ended: list[int] = []
    write = RowStore._write

    def slowly(self: RowStore, parts: list[Rows]) -> None:
        begun.append(len(parts))
        threading.Event().wait(0.2)  # nobody ends it earlier
        write(self, parts)
        ended.append(1)

    monkeypatch.setattr(RowStore, "_write", slowly)
    monkeypatch.setattr("pipeline.core.csv_reading.text_chunks.READ_BYTES", 2000)
    text = "store,date,y\n" + "".join(f"s{i},2024-01-{day:02d},1\n" for i in range(50) for day in range(1, 29))
    with pytest.raises(RecordError, match="bytes"):
        load_file(io.BytesIO(text.encode()), ForecastSpec(), Limits(max_bytes=len(text) - 1), tmp_path / "work")
    assert begun
    assert len(ended) == len(begun)
