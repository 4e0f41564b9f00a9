"""Rows and lines are right wherever the pieces of a file happen to end."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest

from pipeline.core.csv_reading import text_chunks
from pipeline.core.csv_reading.reader import CsvReader
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits

CELLS = ("plain", 'quoted "word"', "two\nlines", "three\r\nhard\r\nlines", "cr\rinside", "with{d}mark", '5" pipe', "")


def written(cell: str, delimiter: str, chance: random.Random) -> str:
    cell = cell.replace("{d}", delimiter)
    bare = not any(mark in cell for mark in (delimiter, "\n", "\r")) and not cell.startswith('"')
    return cell if bare and chance.random() < 0.7 else '"' + cell.replace('"', '""') + '"'


def dates_from_2015(count: int) -> list[str]:
    return [str(date) for date in np.datetime64("2015-01-01") + np.arange(count)]


@pytest.mark.parametrize("piece", [61, 997])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n"])
@pytest.mark.parametrize("delimiter", [",", ";", ":"])
def test_rows_lines_and_ids_are_those_that_were_written(
    delimiter: str, end: str, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_chunks, "READ_BYTES", piece)
    for seed in range(4):
        chance = random.Random(seed)
        lines, text, expected = 1, f'item{delimiter}ds{delimiter}y 5"{end}', []
        for number in range(250):
            cell = chance.choice(CELLS)
            row = f"{written(cell, delimiter, chance)}{delimiter}2024-01-01{delimiter}{number}{end}"
            expected.append((cell.replace("{d}", delimiter), float(number), lines + 1))
            text += row
            # a lone carriage return in a cell is no line end; those between rows become one
            lines += row.count("\n") if end != "\r" else row[:-1].count("\n") + 1
        spec = ForecastSpec(id_columns="item", value_column='["y 5\\""]', delimiter=delimiter)
        reader = CsvReader.open(io.BytesIO(text.encode()), spec, Limits())
        found = [
            (reader.ids[int(code)][0], float(value), int(line))
            for rows in reader.rows()
            for code, value, line in zip(rows.codes, rows.values, rows.lines, strict=True)
        ]
        assert reader.faults == {}
        assert found == expected


@pytest.mark.parametrize("odd", ["oops", "2018-06-01 12:00", "2018-06-01T00:30"])
def test_a_cells_validity_does_not_depend_on_the_rest_of_its_chunk(odd: str) -> None:
    dates = (np.datetime64("2015-01-01") + np.arange(1500)).astype(str)
    rows = [f"a,{date},{i}" for i, date in enumerate(dates)] + [f"a,{odd},1", "b,2015-01-01,nan(1)"]
    for extra in ([], ["c,2015-01-01,oops"]):
        text = "id,date,y\n" + "\n".join([*rows, *extra]) + "\n"
        reader = CsvReader.open(io.BytesIO(text.encode()), ForecastSpec(id_columns="id"), Limits())
        list(reader.rows())
        assert [(f.code, f.line) for f in list(reader.faults.values())[:2]] == [
            ("BAD_DATE", 1502),
            ("BAD_NUMBER", 1503),
        ]


@pytest.mark.parametrize("size", [1_000, 1_048_560, 1_200_000])
def test_no_row_is_lost_behind_a_long_first_one(size: int) -> None:
    rows = [f"a,{date},{i},{'x' * (size if i == 0 else 2000)}" for i, date in enumerate(dates_from_2015(3000))]
    text = "item,ds,y,note\n" + "\n".join(rows) + "\n"
    assert len(text) > text_chunks.READ_BYTES
    reader = CsvReader.open(io.BytesIO(text.encode()), ForecastSpec(id_columns="item"), Limits())
    assert sum(len(part.codes) for part in reader.rows()) == 3000
    assert reader.faults == {}


def test_marks_within_quotes_of_the_header_do_not_decide_where_rows_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_chunks, "READ_BYTES", 5000)
    notes = ('"one\ntwo, three"', '"four"')
    rows = [f"a;{date};{i};{notes[i % 2]}" for i, date in enumerate(dates_from_2015(1500))]
    text = 'id;date;"value, net, in EUR, rounded, and so on";note\n' + "\n".join(rows) + "\n"
    spec = ForecastSpec(id_columns="id", value_column='["value, net, in EUR, rounded, and so on"]')
    reader = CsvReader.open(io.BytesIO(text.encode()), spec, Limits())
    assert sum(len(part.codes) for part in reader.rows()) == 1500
    assert reader.faults == {}


@pytest.mark.parametrize("midnight", ["2019-06-01 00:00", "2019-06-01T00", "2019-06-01 00:00:00.000"])
@pytest.mark.parametrize("beside", ["1", "NA", "oops"], ids=["typed", "text", "with a fault"])
def test_a_date_with_a_midnight_is_that_date_whatever_stands_beside_it(midnight: str, beside: str) -> None:
    rows = [f"a,{date},{i}" for i, date in enumerate(dates_from_2015(400))] + [
        f"a,{midnight},7",
        f"b,2015-01-01,{beside}",
    ]
    text = "id,date,y\n" + "\n".join(rows) + "\n"
    reader = CsvReader.open(io.BytesIO(text.encode()), ForecastSpec(id_columns="id"), Limits())
    found = {str(np.datetime64(int(date), "us")): value for part in reader.rows()
             for date, value in zip(part.dates, part.values, strict=True)}  # fmt: skip
    assert found["2019-06-01T00:00:00.000000"] == 7
    assert [fault.code for fault in reader.faults.values()] == (["BAD_NUMBER"] if beside == "oops" else [])


@pytest.mark.parametrize("piece", [100, 1 << 20])
def test_the_series_of_a_wide_table_go_by_their_first_rows_and_then_their_columns(
    piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_chunks, "READ_BYTES", piece)
    rows = [
        f"{store},{date},{i},{i + 1}" for i, date in enumerate(dates_from_2015(300)) for store in ("p", "q")[: 1 + i]
    ]
    text = "store,ds,a,b\n" + "\n".join(rows) + "\n"
    spec = ForecastSpec(id_columns="store", value_column="*")
    reader = CsvReader.open(io.BytesIO(text.encode()), spec, Limits())
    found = {
        (reader.ids[code], int(value)) for part in reader.rows()
        for code, value in zip(part.codes.tolist(), part.values.tolist(), strict=True)
    }  # fmt: skip
    assert reader.ids == [("p", "a"), ("p", "b"), ("q", "a"), ("q", "b")]
    assert found == {((store, name), i + step) for i in range(300) for store in ("p", "q")[: 1 + i]
                     for step, name in enumerate("ab")}  # fmt: skip
