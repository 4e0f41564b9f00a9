"""What would be done with a file: columns, frequencies, series, problems, and whether auto would be better."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from pipeline.core.dates.calendars import format_date
from pipeline.core.engines.fit_cost import too_costly
from pipeline.core.engines.hint import Trial
from pipeline.core.errors import RecordError
from pipeline.core.faults.internal_error import InternalErrors
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.series.arrow_lists import flat_list, lists_of
from pipeline.core.series.load import LoadedFile

SHOWN = 10


def findings_of(loaded: LoadedFile, spec: ForecastSpec, limits: Limits, errors: InternalErrors) -> dict[str, Any]:
    """Return what would be done with a file that was read, and what is wrong with it.

    Args:
        loaded: the file.
        spec: how it was read, and would be forecast.
        limits: of a file.
        errors: turns an unexpected exception into the error of a series.
    """
    frequencies: Counter[str] = Counter()
    problems: list[dict[str, Any]] = []
    codes: Counter[str] = Counter()
    first, last, lengths, ahead = [], [], [], []
    told: list[str] = []
    trial = Trial(spec)
    for batch in trial.passed(loaded.batches(errors)):
        rows = np.diff(flat_list(batch, "ds")[1])
        costly = too_costly(rows, spec, limits) if spec.solver == "native" else {}
        for row, error in costly.items():
            codes[error.code] += 1
            if len(problems) < SHOWN:
                problems.append(problem_of(batch.column("series_id")[row].as_py(), error))
        names_and_notes = zip(batch.column("series_id").to_pylist(), batch.column("note").to_pylist(), strict=True)
        told += [f"series {name!r}: {note}" for name, note in names_and_notes if note is not None and len(told) < SHOWN]
        frequencies.update(name for name in batch.column("frequency").to_pylist() if name is not None)
        for dates, future in zip(lists_of(batch, "ds"), lists_of(batch, "future"), strict=True):
            if len(dates):
                first.append(int(dates[0]))
                last.append(int(dates[-1]))
                lengths.append(len(dates))
                ahead.append((int(future[0]), int(future[-1])))
        for name, fault in zip(batch.column("series_id").to_pylist(), batch.column("fault").to_pylist(), strict=True):
            if fault is not None:
                error = RecordError.from_json(fault)
                codes[error.code] += 1
                if len(problems) < SHOWN:
                    problems.append(problem_of(name, error))
    layout = loaded.layout
    findings: dict[str, Any] = {
        "columns": {"date": loaded.date_column, "value": list(loaded.value_columns), "id": list(layout.id_columns),
                    "extra": list(layout.extras), "unused": list(loaded.unused)},
        "rows": loaded.rows,
        "series": len(loaded.ids),
        "frequencies": dict(frequencies.most_common()),
        "notes": [*layout.notes, *told[:SHOWN]],
        "hint": trial.hint(layout.extras, limits),
        "problems": sum(codes.values()),
        "problems_by_code": dict(codes.most_common()),
        "first_problems": problems,
    }  # fmt: skip
    if first:
        findings |= {
            "first_date": format_date(min(first)), "last_date": format_date(max(last)),
            "values_per_series": {"least": min(lengths), "median": float(np.median(lengths)), "most": max(lengths)},
            "would_forecast": layout.style.write(np.array([min(ahead)[0], max(end for _, end in ahead)])).to_pylist(),
        }  # fmt: skip
    return findings


def problem_of(series: str, error: RecordError) -> dict[str, Any]:
    """Return an error of a series, or of the file if that is "", as findings show it."""
    return {
        "series": series,
        "code": error.code,
        "message": str(error),
        "hint": error.hint,
        "line": error.line,
        "column": error.column,
        "found": error.found,
    }
