from __future__ import annotations

import io
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import RecordError
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.parquet_reading import reader as parquet_reader
from pipeline.core.parquet_reading.local_copy import Remembering
from pipeline.core.series.load import LoadedFile, load_file

DATES = pd.date_range("2024-01-01", periods=30)
VALUES = np.round(100 + 10 * np.sin(np.arange(30) * 2 * np.pi / 7), 3)


def parquet(table: pa.Table | dict[str, Any], **options: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), buffer, **options)
    return buffer.getvalue()


def loaded(content: bytes, limits: Limits = Limits(), **options: Any) -> LoadedFile:  # noqa: B008 - frozen
    return load_file(io.BytesIO(content), ForecastSpec(horizon=5, **options), limits, Path("/nowhere"))


def series(found: LoadedFile) -> pa.Table:
    return pa.Table.from_batches(found.batches())


def refusal(content: bytes, limits: Limits = Limits(), **options: Any) -> RecordError:  # noqa: B008 - frozen
    with pytest.raises(RecordError) as refused:
        loaded(content, limits, **options)
    return refused.value


def dates(found: LoadedFile) -> list[str]:
    return [str(one) for one in series(found).column("ds")[0].as_py()]


TEXT = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=5).map(lambda text: f"n{text}")


@settings(max_examples=60, deadline=None)
@given(
    ids=st.lists(TEXT, min_size=1, max_size=4, unique=True),
    values=st.lists(st.none() | st.floats(-1e9, 1e9) | st.integers(-999, 999).map(float), min_size=12, max_size=12),
    step=st.sampled_from(["D", "h", "min", "MS"]),
    unit=st.sampled_from(["s", "ms", "us", "ns"]),
    groups=st.integers(1, 50),
    dictionary=st.booleans(),
)
def test_a_parquet_file_is_read_like_the_csv_of_the_same_table(
    ids: list[str], values: list[float | None], step: str, unit: str, groups: int, dictionary: bool
) -> None:
    stamps = pd.date_range("2024-01-01", periods=12, freq=step)
    frame = pd.DataFrame({"store": np.repeat(ids, 12), "ds": [*stamps] * len(ids), "y": [*values] * len(ids)})
    table = pa.Table.from_pandas(frame, preserve_index=False)
    table = table.set_column(1, "ds", table.column("ds").cast(pa.timestamp(unit)))
    if dictionary:
        table = table.set_column(0, "store", table.column("store").dictionary_encode())
    options = {"decimal": ".", "id_columns": ["store"]}  # which numbers in the CSV may not tell
    as_csv = loaded(frame.to_csv(index=False).encode(), **options)
    as_parquet = loaded(parquet(table, row_group_size=groups), **options)
    assert series(as_parquet).equals(series(as_csv))
    assert as_parquet.layout == as_csv.layout
    assert as_parquet.rows == as_csv.rows == len(frame)


@pytest.mark.parametrize(
    "column",
    [
        pa.array(DATES.date), pa.array(DATES.date).cast(pa.date64()), pa.array(DATES).cast(pa.timestamp("s")),
        pa.array(DATES).cast(pa.timestamp("ns")), pa.array(DATES.strftime("%Y-%m-%d")),
        pa.array(DATES.strftime("%Y-%m-%d")).dictionary_encode(), pa.array(DATES.strftime("%Y%m%d").astype(int)),
        pa.array(DATES.strftime("%Y%m%d").astype(np.int32)),
    ],
    ids=str,
)  # fmt: skip
def test_dates_of_any_type(column: pa.Array) -> None:
    found = loaded(parquet({"ds": column, "y": VALUES}))
    assert dates(found)[::29] == ["2024-01-01 00:00:00", "2024-01-30 00:00:00"]
    written = found.layout.style.write(np.array([1_704_067_200_000_000])).to_pylist()
    assert written == ["20240101" if pa.types.is_integer(column.type) else "2024-01-01"]


def test_times_are_written_with_the_digits_they_have() -> None:
    stamps = pd.date_range("2024-01-01", periods=400, freq="h")
    values = np.arange(400.0)
    day = np.array([1_704_067_200_000_000])
    assert loaded(parquet({"ds": stamps, "y": values})).layout.style.write(day).to_pylist() == ["2024-01-01 00:00:00"]
    late = stamps.where(np.arange(400) != 399, stamps + pd.Timedelta("250ms"))  # beyond the sample
    found = loaded(parquet({"ds": late, "y": values}))
    assert found.layout.style.write(day + 250_000).to_pylist() == ["2024-01-01 00:00:00.250"]


def test_a_time_zone_of_the_type_is_that_of_the_forecast() -> None:
    local = pd.date_range("2024-03-20", periods=30, tz="Europe/Berlin")  # with the change to summer time
    table = pa.table({"ds": pa.array(local.tz_convert("UTC")).cast(pa.timestamp("us", "Europe/Berlin")), "y": VALUES})
    found = loaded(parquet(table))
    (named,) = series(found).column("frequency").to_pylist()
    assert named == "D"
    assert dates(found)[:1] == ["2024-03-20 00:00:00"]
    texts = found.layout.style.write(series(found).column("future")[0].values.cast(pa.int64()).to_numpy()).to_pylist()
    assert texts[0] == "2024-04-19 00:00:00+02:00"
    assert any("Europe/Berlin" in note for note in found.layout.notes)
    stated = loaded(parquet(table), timezone="Europe/Paris")
    assert stated.layout.style.timezone == "Europe/Paris"
    assert not any("Europe/Berlin" in note for note in stated.layout.notes)


@pytest.mark.parametrize(("zone", "first"), [("UTC", "2024-01-01 00:00:00Z"), ("+02:00", "2024-01-01 02:00:00+02:00")])
def test_instants_are_written_with_their_offset(zone: str, first: str) -> None:
    table = pa.table({"ds": pa.array(DATES).cast(pa.timestamp("us", zone)), "y": VALUES})
    style = loaded(parquet(table)).layout.style
    assert style.write(style.from_utc(np.array([1_704_067_200_000_000]))).to_pylist() == [first]


@pytest.mark.parametrize(
    "kind", [pa.int8(), pa.int64(), pa.uint16(), pa.float32(), pa.decimal128(12, 3), pa.decimal256(40, 2), pa.string()]
)
def test_values_of_any_type(kind: pa.DataType) -> None:
    numbers = [*range(1, 30), None]
    cells = [None if n is None else Decimal(n) for n in numbers] if pa.types.is_decimal(kind) else numbers
    column = pa.array(numbers).cast(pa.string()) if pa.types.is_string(kind) else pa.array(cells, kind)
    found = series(loaded(parquet({"ds": DATES, "y": column})))
    assert found.column("y")[0].as_py() == [float(n) for n in numbers[:-1]], "the last one is unknown"


def test_numbers_are_not_asked_for_their_marks() -> None:
    """As text 1.234 may be a fraction or more than a thousand; a type leaves no doubt."""
    thousandths = np.array([float(f"1.{digits}") for digits in range(101, 200) if digits % 10][:30])
    found = series(loaded(parquet({"ds": DATES, "y": thousandths})))
    assert found.column("y")[0].as_py() == thousandths.tolist()
    assert refusal(parquet({"ds": DATES, "y": thousandths.astype(str)})).code == "AMBIGUOUS_NUMBER"
    commas = [f"{value:.2f}".replace(".", ",") for value in VALUES]
    found = series(loaded(parquet({"ds": DATES, "a": commas, "b": np.arange(30) * 1.5}), value_column=["a", "b"]))
    assert found.column("y").to_pylist() == [VALUES.round(2).tolist(), (np.arange(30) * 1.5).tolist()]


def test_nan_is_missing_and_infinity_is_refused() -> None:
    values = VALUES.copy()
    values[3] = np.nan
    assert len(series(loaded(parquet({"ds": DATES, "y": values}))).column("y")[0]) == 29
    values[3] = -np.inf
    (fault,) = series(loaded(parquet({"ds": DATES, "y": values}))).column("fault").to_pylist()
    error = RecordError.from_json(fault)
    assert (error.code, error.line, error.column, error.found) == ("NOT_FINITE", 5, "y", "-inf")


def test_missing_values_count_among_typed_numbers() -> None:
    values = np.where(np.arange(30) == 4, -999, VALUES)
    found = loaded(parquet({"ds": DATES, "y": values}), missing_values=["-999", "-1"])
    assert len(series(found).column("y")[0]) == 29
    missing = "1 cell has a word or mark that means a missing value"
    assert found.layout.notes == (missing, "no cell matches these --missing_values: -1")


def test_timestamps_of_hive_and_spark_reach_beyond_2262() -> None:
    stamps = pa.array(np.arange(30) * 86_400_000_000 + 10_413_792_000_000_000, pa.int64()).cast(pa.timestamp("us"))
    found = loaded(parquet(pa.table({"ds": stamps, "y": VALUES}), use_deprecated_int96_timestamps=True))
    assert dates(found)[:1] == ["2300-01-01 00:00:00"]


def test_decimals_and_short_floats_are_read_as_they_are_written() -> None:
    cents = [108.19, 0.29, 1.1, *range(27)]
    for kind in (pa.decimal128(18, 4), pa.decimal256(50, 8), pa.float32()):
        cells = [Decimal(str(number)) for number in cents] if pa.types.is_decimal(kind) else cents
        found = loaded(parquet({"ds": DATES, "y": pa.array(cells, kind)}))
        assert series(found).column("y")[0].as_py() == cents, kind
    column = pa.array([0.1, *range(29)], pa.float32())
    assert len(series(loaded(parquet({"ds": DATES, "y": column}), missing_values=["0.1"])).column("y")[0]) == 29


def test_duplicate_names_are_refused_and_nameless_columns_read() -> None:
    for other in (VALUES, [[1]] * 30):
        table = pa.Table.from_arrays([pa.array(DATES), pa.array(VALUES), pa.array(other)], names=["ds", "y", "y"])
        assert refusal(parquet(table)).code == "DUPLICATE_COLUMN"
    nameless = pa.Table.from_arrays([pa.array(DATES), pa.array(VALUES), pa.array([[1]] * 30)], names=["", "", ""])
    found = loaded(parquet(nameless))
    assert (found.date_column, found.value_columns, found.unused) == ("column_1", ("column_2",), ("column_3",))
    assert series(found).column("y")[0].as_py() == VALUES.tolist()


@pytest.mark.parametrize(
    "ids",
    [
        pa.array([bytes([i // 15]) * 16 for i in range(30)], pa.uuid()),
        pa.array(["true", "false"]).take(pa.array(np.arange(30) // 15)).cast(pa.bool_()),
        pa.array([b"north" if i < 15 else b"south" for i in range(30)]),
    ],
    ids=["uuid", "bool", "bytes"],
)
def test_ids_of_rarer_types(ids: pa.Array) -> None:
    content = parquet({"store_id": ids, "ds": [*DATES[:15]] * 2, "y": VALUES})
    assert len(loaded(content, id_columns=["store_id"]).ids) == 2
    assert len(loaded(content).ids) == 2


def test_a_column_that_cannot_be_read_is_not_passed_over_if_it_matters() -> None:
    table = {"store_id": [[1]] * 30, "ds": DATES, "y": VALUES, "promo": [[1]] * 30}
    assert refusal(parquet(table)).code == "UNKNOWN_COLUMN"
    assert loaded(parquet(table), id_columns=[]).unused == ("store_id", "promo")
    assert "type" in str(refusal(parquet(table), id_columns=[], value_column="promo"))


@pytest.mark.parametrize("zone", ["Foo/Bar", "+05:30:15", "+25:00", "-23:59", "../../etc/passwd", "UTC+1"])
def test_a_time_zone_that_is_not_known_is_asked_for(zone: str) -> None:
    table = pa.table({"ds": pa.array(DATES).cast(pa.timestamp("us")), "y": VALUES})
    schema = pa.schema([("ds", pa.timestamp("us", zone)), ("y", pa.float64())])
    columns = [table.column("ds").combine_chunks().view(pa.timestamp("us", zone)), table.column("y").combine_chunks()]
    content = parquet(pa.Table.from_arrays(columns, schema=schema))
    refused = refusal(content)
    assert (refused.code, refused.column, "--timezone" in refused.hint) == ("BAD_DATE_FORMAT", "ds", True)
    assert dates(loaded(content, timezone="UTC"))[:1] == ["2024-01-01 00:00:00"]


@pytest.mark.parametrize("zone", ["america/new_york", "dateutil/America/New_York"])
def test_time_zones_are_known_by_the_names_that_libraries_write(zone: str) -> None:
    column = pa.array(DATES + pd.Timedelta("5h")).cast(pa.timestamp("us")).view(pa.timestamp("us", zone))
    found = loaded(parquet({"ds": column, "y": VALUES}))
    assert found.layout.style.timezone == "America/New_York"
    assert dates(found)[:1] == ["2024-01-01 00:00:00"]


def test_nul_characters_are_refused_as_in_a_csv() -> None:
    for column, cells in (("store", ["a\0"] * 15 + ["a"] * 15), ("y", ["1\0"] * 30), ("y\0", VALUES)):
        assert refusal(parquet({"ds": DATES, "y": VALUES, column: cells})).code == "NOT_TEXT"


def test_memory_is_bounded_for_long_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    real = parquet_reader.bytes_of_rows
    monkeypatch.setattr(parquet_reader, "bytes_of_rows", lambda batch: sizes.append(batch.nbytes) or real(batch))
    texts = [f"{i}{'x' * 100_000}" for i in range(4000)]  # 400 MB
    table = pa.table({"ds": pa.array(np.arange(4000) * 86_400, pa.int64()).cast(pa.timestamp("s")),
                      "y": np.zeros(4000), "store": texts})  # fmt: skip
    content = parquet(table, compression="zstd", use_dictionary=False, write_statistics=False, row_group_size=1000)
    assert len(content) < 10_000_000
    assert refusal(content, Limits(max_bytes=200_000_000, max_id_length=200_000), id_columns=["store"]).code == (
        "TOO_MANY_BYTES"
    )
    assert max(sizes) < 250_000_000, "a thousand rows at a time"


def test_columns_that_can_have_no_role_are_not_used() -> None:
    table = {"ds": DATES, "y": VALUES, "tags": [["a"]] * 30, "raw": [b"\0"] * 30, "who": [{"a": 1}] * 30}
    found = loaded(parquet(table))
    assert sorted(found.unused) == ["raw", "tags", "who"]
    assert found.layout.notes == ("columns not used: tags, who, raw",)


def test_names_with_points_and_blanks_are_columns() -> None:
    found = loaded(parquet({" ds ": DATES, "y.a": VALUES, "y": VALUES * 2}), value_column=("y.a",))
    assert series(found).column("y")[0].as_py() == VALUES.tolist()
    assert refusal(parquet({"ds": DATES, "y": VALUES, "y ": VALUES})).code == "DUPLICATE_COLUMN"


def test_a_wide_table_has_a_series_in_each_column() -> None:
    found = loaded(parquet({"ds": DATES, "a": VALUES, "b": VALUES * 2}), value_column="*")
    assert found.ids == [("a",), ("b",)]


def test_ids_keep_their_zeros_and_may_be_numbers_or_empty() -> None:
    for ids, texts in ((["007", "07"], ["007", "07"]), ([7, 8], ["7", "8"]), (["a", None], ["a", ""])):
        table = {"store": np.repeat(np.array(ids, object), 30), "ds": [*DATES] * 2, "y": [*VALUES] * 2}
        assert loaded(parquet(table)).ids == [(text,) for text in texts]


def test_text_decides_ids_as_in_a_csv() -> None:
    table = {"colour": ["red"] * 30 + ["blue"] * 30, "ds": [*DATES] * 2, "y": [*VALUES] * 2}
    assert loaded(parquet(table)).ids == [("red",), ("blue",)]
    assert refusal(parquet({"ds": DATES.strftime("%d/%m/%Y")[:12], "y": VALUES[:12]})).code == "BAD_DATE_FORMAT"


def test_an_error_has_the_line_that_it_has_in_a_csv() -> None:
    stamps = DATES.where(np.arange(30) != 7, pd.NaT)
    for content in (parquet({"ds": stamps, "y": VALUES}, row_group_size=4),
                    pd.DataFrame({"ds": stamps, "y": VALUES}).to_csv(index=False).encode()):  # fmt: skip
        (fault,) = series(loaded(content)).column("fault").to_pylist()
        error = RecordError.from_json(fault)
        assert (error.code, error.line, error.column) == ("BAD_DATE", 9, "ds")
        assert "skip_footer" not in error.hint


def test_dates_beyond_the_calendar_are_bad() -> None:
    for unit, ticks in (("s", 10**15), ("ms", 10**18), ("us", -(10**18))):
        column = pa.array([*range(0, 86_400 * 29, 86_400), ticks], pa.int64()).cast(pa.timestamp(unit))
        (fault,) = series(loaded(parquet({"ds": column, "y": VALUES}))).column("fault").to_pylist()
        assert RecordError.from_json(fault).code == "BAD_DATE", unit


@pytest.mark.parametrize("cut", [4, 5, 8, 100, 400, -4, -8, -9])
def test_a_file_that_is_cut_short_is_refused(cut: int) -> None:
    whole = parquet({"ds": DATES, "y": VALUES})
    assert len(whole) > 400
    assert refusal(whole[:cut]).code == "BAD_PARQUET"


@settings(max_examples=150, deadline=None)
@given(at=st.integers(4, 10_000), byte=st.integers(0, 255))
def test_a_damaged_file_is_refused_or_read(at: int, byte: int) -> None:
    content = bytearray(parquet({"store": ["a"] * 30, "ds": DATES, "y": VALUES}))
    content[4 + at % (len(content) - 4)] = byte
    try:
        series(loaded(bytes(content)))
    except RecordError as error:
        assert error.hint


def test_invalid_text_is_refused() -> None:
    broken = pa.Array.from_buffers(
        pa.string(), 30, [*pa.array(["ab"] * 30).buffers()[:2], pa.py_buffer(b"\xff\xfe" * 30)]
    )
    content = parquet({"store": broken, "ds": DATES, "y": VALUES}, use_dictionary=False)
    assert refusal(content).code == "BAD_PARQUET"


def test_a_file_without_rows_is_refused() -> None:
    assert refusal(parquet({"ds": DATES[:0], "y": VALUES[:0]})).code == "NO_ROWS"
    assert refusal(parquet(pa.table({}))).code == "NO_ROWS"


def test_other_kinds_of_parquet_are_named() -> None:
    assert "encrypted" in str(refusal(b"PARE" + bytes(40)))
    assert refusal(b"PAR1,y\n2024-01-01,1\n").code == "BAD_PARQUET"


def test_a_part_that_says_that_it_is_too_large_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    table = pa.table({"ds": DATES, "y": VALUES, "note": ["x" * 100_000] * len(DATES)})
    content = parquet(table, compression="zstd", use_dictionary=False, data_page_size=1 << 30)
    assert len(content) < 20_000 < 100_000 < pq.ParquetFile(io.BytesIO(content)).metadata.row_group(0).total_byte_size
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", None)
    assert refusal(content, Limits(max_bytes=100_000)).code == "TOO_MANY_BYTES"


def test_what_is_small_on_disk_is_bounded_when_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    long = pa.array(["x" * 100_000]).dictionary_encode()
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(10_000, np.int32)), long.dictionary)
    table = pa.table({"store": column, "ds": pa.array(np.arange(10_000) * 86_400, pa.int64()).cast(pa.timestamp("s")),
                      "y": np.zeros(10_000)})  # fmt: skip
    content = parquet(table)
    assert len(content) < 300_000, "a gigabyte of text"
    pieces: list[int] = []
    real = parquet_reader.as_text
    monkeypatch.setattr(parquet_reader, "as_text", lambda cells: pieces.append(cells.nbytes) or real(cells))
    small = Limits(max_bytes=500_000_000, max_id_length=200_000)
    assert refusal(content, small, id_columns=["store"]).code == "TOO_MANY_BYTES"
    assert refusal(content, id_columns=["store"]).code == "ID_TOO_LONG"
    assert loaded(content, Limits(max_id_length=200_000), id_columns=["store"]).rows == 10_000
    assert len(pieces) > 10
    assert max(pieces) < 2 * parquet_reader.BATCH_BYTES
    too_long = pa.table({"store": ["x" * (2 << 20)] * 3, "ds": DATES[:3], "y": VALUES[:3]})
    assert refusal(parquet(too_long)).code == "LINE_TOO_LONG"
    assert refusal(content, Limits(max_bytes=len(content) - 1)).code == "TOO_MANY_BYTES", "on disk already"


def test_the_source_is_read_once_whatever_is_asked(tmp_path: Path) -> None:
    class Counting(io.BytesIO):
        total = 0

        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(size)
            self.total += len(data)
            return data

    table = {
        "colour": ["red"] * 30 + ["blue"] * 30,
        "ds": [*DATES] * 2,
        "y": [f"{v:.1f}".replace(".", ",") for v in VALUES] * 2,
    }
    content = parquet(table)
    source = Counting(content)
    found = load_file(source, ForecastSpec(horizon=5), Limits(), tmp_path)
    assert found.ids == [("red",), ("blue",)]
    assert source.total == len(content)


@pytest.mark.parametrize("size", [-1, 1, 3, 4, 5, 100])
def test_a_source_that_was_looked_at_is_read_from_its_beginning(size: int) -> None:
    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(1 if size == 4 else size)

    read: Callable[[], bytes]
    for content in (b"", b"PA", b"date,y\n2024-01-01,1\n"):
        source = Remembering(Slow(content))
        assert not source.is_parquet
        for _ in range(2):
            read, found = (lambda source=source: source.read(size)), b""
            while data := read():
                found += data
            assert found == content
            source.restart()


def test_a_large_file_goes_through_work_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.core.series.row_store.SPILL_BYTES", 1000)
    table = {"store": np.repeat(["a", "b", "c"], 30), "ds": [*DATES] * 3, "y": [*VALUES] * 3}
    found = load_file(io.BytesIO(parquet(table)), ForecastSpec(horizon=5), Limits(), tmp_path)
    assert found.store.spilled
    assert series(found).column("y").to_pylist() == [VALUES.tolist()] * 3
