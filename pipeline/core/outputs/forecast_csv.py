"""The forecast CSV: id columns under their own names, date, prediction and its intervals."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as pa_csv

from pipeline.core.csv_reading.dialect import CsvDialect, header_of_forecast
from pipeline.core.dates.date_style import OffsetsSeen
from pipeline.core.dates.recognise_dates import recognise_dates
from pipeline.core.errors import RecordError
from pipeline.core.forecast_spec import MEDIAN, ForecastSpec, levels_of
from pipeline.core.series.arrow_lists import flat_list
from pipeline.core.series.batch import series_id
from pipeline.core.series.layout import Layout
from pipeline.core.sources import open_source


def level_text(level: float) -> str:
    """Return a level in percent as written in a column's name: 80, 97.5."""
    return f"{level:.10g}"


def csv_columns(layout: Layout, spec: ForecastSpec) -> list[str]:
    """Return the names of the columns; components come last, under Prophet's names unless these are taken."""
    if spec.quantiles is not None:
        ends = [quantile_column(quantile) for quantile in spec.quantiles]
    else:
        ends = [f"prediction_{end}{suffix}" for suffix in _suffixes(spec) for end in ("lower", "upper")]
    columns = [*layout.id_columns, "date", "prediction", *ends]
    return columns + [f"component_{name}" if name in columns else name for name in spec.component_names]


def quantile_column(quantile: float) -> str:
    """Return the name of a quantile's column: quantile_0.1."""
    return f"quantile_{quantile:.10g}"


def _suffixes(spec: ForecastSpec) -> list[str]:
    return [""] if len(spec.level) == 1 else [f"_{level_text(level)}" for level in spec.level]


def csv_header(layout: Layout, spec: ForecastSpec) -> bytes:
    """Return the header line."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n", delimiter=layout.dialect.delimiter).writerow(csv_columns(layout, spec))
    return layout.dialect.encoded(text.getvalue(), start=True)


def csv_rows(forecasts: pa.RecordBatch, layout: Layout, spec: ForecastSpec) -> bytes:
    """Return the rows of a block's forecasts in the source's dialect.

    Numbers are in the shortest form that reads back the same.
    """
    lengths = np.diff(np.asarray(forecasts.column("ds").offsets))
    if not lengths.sum():
        return b""
    series = np.repeat(np.arange(len(forecasts)), lengths)
    ids = forecasts.column("ids")
    dialect = layout.dialect
    cells = [
        _quoted(pc.list_element(ids, i), dialect).take(pa.array(series)) for i in range(len(layout.id_columns))
    ]  # fmt: skip
    dates, rows = np.unique(flat_list(forecasts, "ds")[0], return_inverse=True)
    cells.append(_quoted(layout.style.write(dates), dialect).take(pa.array(rows)))
    columns = [forecasts.column("yhat").flatten(), *ends_of(forecasts, spec)]
    cells += [_numbers(column, dialect) for column in columns]
    for name in spec.component_names:
        numbers = forecasts.column(f"component_{name}").flatten()
        cells.append(pc.if_else(pc.is_nan(numbers), "", _numbers(numbers, dialect)))
    lines = pc.binary_join_element_wise(*(cell.cast(pa.string()) for cell in cells), dialect.delimiter)
    whole = pc.binary_join(pa.ListArray.from_arrays(pa.array([0, len(lines)], pa.int32()), lines), "\n")
    if dialect.encoding in ("utf-8", "utf-8-sig"):
        return bytes(whole[0].as_buffer()) + b"\n"
    return dialect.encoded(whole[0].as_py() + "\n")


def _numbers(numbers: pa.Array, dialect: CsvDialect) -> pa.StringArray:
    text = numbers.cast(pa.string())
    if dialect.decimal == ".":
        return text
    return _quoted(pc.replace_substring(text, ".", dialect.decimal), dialect)


def _quoted(text: pa.StringArray, dialect: CsvDialect) -> pa.StringArray:
    """Quote the cells that need it."""
    data = text.buffers()[2]
    if data is None or not re.search(rf'["\s]|{re.escape(dialect.delimiter)}'.encode(), data):
        return text  # the usual case, quickly told
    special = pc.match_substring_regex(text, rf'["\r\n]|{re.escape(dialect.delimiter)}|^\s|\s$')
    if not pc.any(special).as_py():
        return text
    doubled = pc.replace_substring(text, '"', '""')
    return pc.if_else(special, pc.binary_join_element_wise('"', doubled, '"', ""), text)


def ends_of(forecasts: pa.RecordBatch, spec: ForecastSpec) -> list[pa.Array]:
    """Return what a forecast has besides the prediction, row by row: the ends of each interval, or the quantiles."""
    if spec.quantiles is None:
        names = [f"{end}_{i}" for i in range(len(spec.level)) for end in ("lower", "upper")]
        return [forecasts.column(name).flatten() for name in names]
    columns = []
    for quantile in spec.quantiles:
        if quantile == MEDIAN:
            columns.append(forecasts.column("median").flatten())
        else:
            i = spec.level.index(levels_of((quantile,))[0])
            columns.append(forecasts.column(f"{'lower' if quantile < MEDIAN else 'upper'}_{i}").flatten())
    return columns


_HEADER_BYTES = 1 << 16


def forecast_header(path: Path) -> tuple[list[str], CsvDialect] | None:
    """Return the header and dialect of a forecast, perhaps gzipped; None if the file is not a forecast.

    Raises:
        OSError: if it cannot be read.
    """
    try:
        with gzip.open(path) if path.name.endswith(".gz") else path.open("rb") as file:
            return header_of_forecast(file.read(_HEADER_BYTES))
    except (EOFError, gzip.BadGzipFile, zlib.error):
        return None


def read_forecast_csv(
    path: Path, id_columns: tuple[str, ...], value_name: str, spec: ForecastSpec
) -> dict[str, dict[str, np.ndarray]]:
    """Return each series' forecast, by the names of the CSV's columns; components go by `component NAME`.

    Args:
        path: a forecast CSV.
        id_columns: its id columns.
        value_name: name of the value column, which names a series without ids.
        spec: the options that it was made with.

    Raises:
        RecordError: if it cannot be read, or is not a forecast.
    """
    try:
        open_source(path).close()
    except RecordError as error:
        raise RecordError(error.code, f"The forecast {path} cannot be read: {error}", error.hint) from None
    texts = dict.fromkeys((*id_columns, "date"), pa.string())
    refusal = RecordError("NOT_TEXT", f"{path.name} is not a forecast written by Dropcast.", "Name the forecast CSV.")
    found = forecast_header(path)
    if found is None:
        raise refusal
    header, dialect = found
    encoding = spec.encoding if dialect.encoding == "utf-8" else dialect.encoding
    types = dict.fromkeys(header[header.index("date") + 1 :], pa.float64()) | texts
    try:
        table = pa_csv.read_csv(
            path,
            read_options=pa_csv.ReadOptions(encoding=encoding),
            convert_options=pa_csv.ConvertOptions(column_types=types, decimal_point=dialect.decimal),
            parse_options=pa_csv.ParseOptions(newlines_in_values=True, delimiter=dialect.delimiter),
        )
    except pa.ArrowInvalid:
        raise refusal from None
    if not {*id_columns, "date", "prediction"} <= set(table.column_names):
        raise refusal
    text = table.column("date").combine_chunks()
    style = recognise_dates(text[:100].to_pylist(), "year", 2, spec.date_format)  # 2024 is one
    dates, _, minutes = style.read(text)
    if style.in_utc:
        seen = OffsetsSeen()
        if minutes is not None:
            seen.add(dates, minutes)
        dates = replace(style.with_offsets(seen), timezone=spec.timezone or "").from_utc(dates)
    ids = list(zip(*(table.column(name).to_pylist() for name in id_columns), strict=True)) or [()] * len(text)
    rows: dict[str, list[int]] = {}
    for row, values in enumerate(ids):
        rows.setdefault(series_id(values, value_name), []).append(row)
    numbers = {name: np.asarray(table.column(name)) for name in table.column_names if name.startswith("prediction")}
    for name in spec.component_names:
        column = f"component_{name}" if f"component_{name}" in table.column_names else name
        if column in table.column_names and column not in texts:
            numbers[f"component {name}"] = np.asarray(table.column(column).cast(pa.float64()))
    for column in [name for name in table.column_names if name.startswith("quantile_") and name not in texts]:
        numbers[column] = np.asarray(table.column(column))
    for level, suffix in zip(spec.level, _suffixes(spec), strict=True):
        ends = (quantile_column(0.5 - level / 200), quantile_column(0.5 + level / 200))
        if spec.quantiles is not None and all(end in numbers for end in ends):
            numbers[f"prediction_lower{suffix}"], numbers[f"prediction_upper{suffix}"] = (numbers[end] for end in ends)
    numbers["date"] = dates.astype("datetime64[us]")
    return {name: {column: cells[at] for column, cells in numbers.items()} for name, at in rows.items()}
