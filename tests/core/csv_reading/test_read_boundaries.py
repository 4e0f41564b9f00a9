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


@pytest.mark.parametrize("piece", [61, 997])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
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


@pytest.mark.parametrize("odd", ["oops", "2018-06-01 12:00"])
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
