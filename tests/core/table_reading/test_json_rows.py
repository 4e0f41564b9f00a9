from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import RecordError
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.series.load import LoadedFile, load_file, load_table
from pipeline.core.table_reading.json_rows import is_columns, json_of, table_of_json
from tests.conftest import daily_series


def table(content: str | bytes) -> pa.Table:
    raw = content.encode() if isinstance(content, str) else content
    return table_of_json(json_of(raw), len(raw))


def refusal(content: str | bytes) -> RecordError:
    with pytest.raises(RecordError) as refused:
        table(content)
    assert refused.value.code == "BAD_JSON"
    assert refused.value.hint
    return refused.value


def series(loaded: LoadedFile) -> list[dict[str, Any]]:
    return pa.Table.from_batches(loaded.batches()).to_pylist()


def test_records_columns_and_what_pandas_writes_are_the_same_table() -> None:
    records = '[{"ds": "2026-01-01", "y": 1}, {"ds": "2026-01-02", "y": 2.5}, {"ds": "2026-01-03"}]'
    columns = '{"ds": ["2026-01-01", "2026-01-02", "2026-01-03"], "y": [1, 2.5, null]}'
    by_index = '{"ds": {"0": "2026-01-01", "1": "2026-01-02", "2": "2026-01-03"}, "y": {"0": 1.0, "1": 2.5, "2": null}}'
    expected = {"ds": ["2026-01-01", "2026-01-02", "2026-01-03"], "y": [1.0, 2.5, None]}
    for content in (records, columns, by_index):
        assert table(content).to_pydict() == expected
        assert table(content).schema.types == [pa.string(), pa.float64()]
    assert [is_columns(json_of(content.encode())) for content in (records, columns, by_index)] == [False, True, True]


def test_types_are_kept_and_mixed_columns_are_texts() -> None:
    found = table('[{"a": 1, "b": true, "c": "x", "d": 12345678901234567890}, {"a": null, "b": 2, "c": 1.5, "d": 1}]')
    assert found.to_pydict() == {
        "a": [1, None],
        "b": ["true", "2"],
        "c": ["x", "1.5"],
        "d": ["12345678901234567890", "1"],
    }


def test_ids_keep_their_digits() -> None:
    ids = table('[{"id": 9007199254740993}, {"id": 1.5}, {"id": NaN}]').column("id").to_pylist()
    assert ids == ["9007199254740993", "1.5", "nan"]


@pytest.mark.parametrize(
    ("content", "problem", "line"),
    [
        ("", "not JSON", None), ("[", "not JSON", None), (b"\xff", "not JSON", None), ("3", "neither", None),
        ("[" * 100_000, "nested", None), ("[1]", "not a record", 2), ('[{"y": 1}, []]', "not a record", 3),
        ('[{"y": 1, "y": 2}]', "'y' appears twice", None), ('{"y": 3}', "not a list", None),
        ('{"y": [1], "ds": []}', "same length", None), ('{"y": {"0": 1}, "ds": {"1": 1}}', "same rows", None),
        ('{"y": {"0": 1}, "ds": [1]}', "not a list", None), ('[{"y": 1}, {"y": [1]}]', "a list or an object", 3),
        ('[{"y": "\\ud800"}]', "half of a character", None),
    ],
)  # fmt: skip
def test_what_is_no_table_is_refused(content: str | bytes, problem: str, line: int | None) -> None:
    found = refusal(content)
    assert problem in found.message
    assert found.line == line


def test_a_few_bytes_do_not_become_a_huge_table() -> None:
    records = json.dumps([{f"name{number}": 1} for number in range(20_000)])
    assert "too many different names" in refusal(records).message
    assert table(json.dumps([{"a": 1}] + [{}] * 20_000)).num_rows == 20_001


def test_it_is_read_as_the_csv_is() -> None:
    lines = [f"{store},{line}" for store in ("north", "7") for line in daily_series(40).splitlines()[1:]]
    content = "store,date,y\n" + "\n".join(lines) + "\n"
    records = [dict(zip(("store", "date", "y"), (a, b, float(c)), strict=True)) for a, b, c in
               (line.split(",") for line in lines)]  # fmt: skip
    spec, limits = ForecastSpec(horizon=5), Limits()
    from_csv = load_file(io.BytesIO(content.encode()), spec, limits, Path("/nowhere"))
    assert len(from_csv.ids) == 2
    from_json = load_table(table(json.dumps(records)), spec, limits, Path("/nowhere"))
    assert (from_json.ids, from_json.layout.id_columns) == (from_csv.ids, ("store",))
    assert series(from_json) == series(from_csv)


def test_errors_have_the_line_of_a_csv() -> None:
    records = [{"ds": f"2026-01-{day:02d}", "y": "oops" if day == 9 else day} for day in range(1, 29)]
    found = load_table(table(json.dumps(records)), ForecastSpec(), Limits(), Path("/nowhere"))
    (fault,) = found.faults.values()
    assert (fault.code, fault.line) == ("BAD_NUMBER", 10)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=30,
)


@settings(max_examples=300, deadline=None)
@given(JSON)
def test_any_json_is_a_table_or_refused(found: Any) -> None:
    content = json.dumps(found).encode()
    try:
        made = table_of_json(json_of(content), len(content))
    except RecordError as error:
        assert error.code == "BAD_JSON"
        return
    made.validate(full=True)
    assert isinstance(found, list | dict)
