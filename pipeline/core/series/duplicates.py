"""Several rows for one series and date, reduced to one."""

from __future__ import annotations

import numpy as np

from pipeline.core.arrays import Floats
from pipeline.core.dates.calendars import DAY, Dates, format_date
from pipeline.core.errors import RecordError


def one_row_per_date(
    dates: Dates, values: Floats, extras: Floats, lines: Dates, rule: str
) -> tuple[Dates, Floats, Floats]:
    """Apply the rule for duplicates to rows sorted by date and line.

    Identical rows of one date count once; a row with a value takes precedence over one without.

    Raises:
        RecordError: DUPLICATE_DATE if they disagree and the rule is "error".
    """
    repeated = np.diff(dates) == 0
    if not repeated.any():
        return dates, values, extras
    starts = np.concatenate([[0], np.flatnonzero(~repeated) + 1])
    ends = np.concatenate([starts[1:], [len(dates)]])
    merged, chosen = np.empty(len(starts)), np.empty((len(starts), extras.shape[1]))
    for i, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        present = start + np.flatnonzero(np.isfinite(values[start:end]))
        if rule == "error":
            _require_agreement(dates, values, extras, lines, present)
        kept = start if not len(present) else present[-1] if rule == "last" else present[0]
        merged[i] = values[kept]
        if len(present) and rule in ("sum", "mean"):
            merged[i] = values[present].sum() if rule == "sum" else values[present].mean()
        chosen[i] = extras[kept]
    return dates[starts], merged, chosen


def _require_agreement(dates: Dates, values: Floats, extras: Floats, lines: Dates, present: Dates) -> None:
    """Raise if rows of one date, at the positions `present`, have different numbers."""
    first = present[:1]
    differs = (values[present] != values[first]) | (extras[present] != extras[first]).any(axis=1)
    if not differs.any():
        return
    other = int(present[differs][0])
    column = "" if values[other] != values[first[0]] else " (in a regressor, cap or floor)"
    within_day = int(dates[other]) % DAY
    clocks = " If clocks were set back then, use --timezone=Europe/Berlin, or whichever it is." if within_day else ""
    raise RecordError(
        "DUPLICATE_DATE",
        f"{format_date(int(dates[other]))} appears again, with {values[other]:.12g} instead of "
        f"{values[first[0]]:.12g} (line {lines[first[0]]}){column}.",
        "Name the columns that tell the series apart with --id_columns, or settle it with --duplicates=sum, mean, "
        f"first or last. To add up transactions, use --aggregate=D.{clocks}",
        line=int(lines[other]),
    )
