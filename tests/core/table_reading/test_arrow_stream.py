from __future__ import annotations

import datetime as dt
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import RecordError
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.series.load import load_file, load_table
from pipeline.core.table_reading.arrow_stream import table_of_arrow

DAYS = [dt.date(2026, 1, 1) + dt.timedelta(day) for day in range(60)]
TABLE = pa.table({
    "store": pa.array(["a"] * 30 + ["b"] * 30).dictionary_encode(),
    "ds": pa.array([*DAYS[:30], *DAYS[:30]], pa.date32()),
    "y": np.arange(60.0) % 7,
})  # fmt: skip


def written(table: pa.Table, as_file: bool = False, compression: str | None = None, at_once: int = 7) -> bytes:
    sink = pa.BufferOutputStream()
    new = pa.ipc.new_file if as_file else pa.ipc.new_stream
    with new(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table, max_chunksize=at_once)
    return bytes(sink.getvalue().to_pybytes())


def refusal(content: bytes) -> str:
    with pytest.raises(RecordError) as refused:
        table_of_arrow(content)
    assert refused.value.code == "BAD_ARROW"
    assert refused.value.hint
    return refused.value.message


@pytest.mark.parametrize("as_file", [False, True])
def test_stream_and_file_are_read_like_a_parquet_file(as_file: bool) -> None:
    found = table_of_arrow(written(TABLE, as_file))
    assert found.equals(TABLE)
    parquet = io.BytesIO()
    pq.write_table(TABLE, parquet)
    parquet.seek(0)
    spec, limits, nowhere = ForecastSpec(horizon=3), Limits(), Path("/nowhere")
    expected = load_file(parquet, spec, limits, nowhere)
    assert expected.ids == [("a",), ("b",)]
    loaded = load_table(found, spec, limits, nowhere)
    assert loaded.ids == expected.ids
    assert pa.Table.from_batches(loaded.batches()).equals(pa.Table.from_batches(expected.batches()))


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
@pytest.mark.parametrize("as_file", [False, True])
def test_compressed_parts_are_refused(compression: str, as_file: bool) -> None:
    long = pa.table({"y": np.zeros(100_000)})  # short parts are left as they are
    assert "compressed" in refusal(written(long, as_file, compression))
    texts = pa.table({"name": pa.array([f"a text {i}" for i in range(5000)]).dictionary_encode()})
    assert "compressed" in refusal(written(texts, as_file, compression))


def test_more_rows_than_bytes_can_hold_are_refused() -> None:
    endless = pa.Array.from_buffers(pa.null(), 1 << 30, [None])
    content = written(pa.table({"nothing": endless}), at_once=1 << 30)
    assert len(content) < 1000
    assert "more rows" in refusal(content)


def test_many_views_of_one_text_are_refused() -> None:
    text = pa.array(["x" * 100_000], pa.string_view())
    views = pa.Array.from_buffers(
        pa.string_view(), 1000, [None, pa.py_buffer(bytes(text.buffers()[1])[:16] * 1000), *text.buffers()[2:]]
    )
    content = written(pa.table({"name": views}))
    if len(content) < 10_000_000:  # the writer may have copied the text for each
        assert "again and again" in refusal(content)
    few = pa.array(["a", "bb", None, "a text of more than twelve bytes"], pa.string_view())
    assert table_of_arrow(written(pa.table({"name": few}))).column("name").to_pylist() == few.to_pylist()


@pytest.mark.parametrize(
    "kind", [pa.large_string(), pa.binary(), pa.large_binary(), pa.binary(20_000), pa.string_view()]
)
def test_many_cells_of_one_entry_are_refused(kind: pa.DataType) -> None:
    entry = pa.array(["x" * 20_000])
    cells = pa.DictionaryArray.from_arrays(pa.array(np.zeros(1000), pa.int8()), entry.cast(pa.binary()).cast(kind))
    with pytest.raises(RecordError, match="same texts again and again"):
        table_of_arrow(written(pa.table({"y": np.arange(1000.0), "note": cells})))
    assert table_of_arrow(written(pa.table({"y": [1.0], "note": cells[:1]}))).num_rows == 1


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
@pytest.mark.parametrize("entries", [["a", "b"], ["a", None]])
def test_dictionaries_of_texts_are_texts(kind: pa.DataType, entries: list[str | None]) -> None:
    cells = pa.DictionaryArray.from_arrays(pa.array([0, 1, None, 1]), pa.array(entries, kind))
    found = table_of_arrow(written(pa.table({"id": cells}))).column("id")
    assert found.to_pylist() == [entries[0], entries[1], None, entries[1]]


def test_dictionaries_of_numbers_and_dates_are_numbers_and_dates() -> None:
    table = pa.table({
        "y": pa.array([1, 2, 1]).dictionary_encode(), "ds": pa.array(DAYS[:3]).dictionary_encode(),
        "store": pa.array(["a", "b", "a"]).dictionary_encode(),
    })  # fmt: skip
    found = table_of_arrow(written(table))
    assert found.schema.types[:2] == [pa.int64(), pa.date32()]
    assert found.to_pydict() == table.to_pydict()


def test_no_text_is_taken_that_is_none() -> None:
    bad = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(np.array([0, 2], np.int32)), pa.py_buffer(b"\xff\xfe")]
    )
    assert "damaged" in refusal(written(pa.table({"name": bad})))


def test_two_columns_of_one_name_are_refused() -> None:
    assert "same name" in refusal(written(pa.table([[1], [2]], names=["y", "y"])))


@settings(max_examples=400, deadline=None)
@given(data=st.data(), as_file=st.booleans())
def test_damage_is_refused_and_never_breaks_anything(data: st.DataObject, as_file: bool) -> None:
    content = bytearray(written(TABLE, as_file))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content))) :]
    try:
        table_of_arrow(bytes(content)).validate(full=True)
    except RecordError as error:
        assert error.code == "BAD_ARROW"
