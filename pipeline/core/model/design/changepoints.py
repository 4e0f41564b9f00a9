"""Where a series' trend may bend."""

from __future__ import annotations

import numpy as np

from pipeline.core.arrays import Floats, Ints
from pipeline.core.compiled import compiled
from pipeline.core.dates.calendars import Dates
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.model.design.structure import given_changepoints
from pipeline.core.model.histories import Histories


def changepoints_of(histories: Histories, spec: ForecastSpec, number: int) -> Floats:
    """Return the changepoints of each series in scaled time, ascending, shape (n, S); [0] if there are none.

    Args:
        histories: of n series.
        spec: the options.
        number: of automatic changepoints.
    """
    starts, ends = histories.offsets[:-1], histories.offsets[1:]
    if spec.changepoints:
        start = histories.ds[starts]
        t_scale = histories.ds[ends - 1] - start
        given = given_changepoints(spec)
        return np.sort((given[None, :] - start[:, None]) / t_scale[:, None], axis=1)
    changepoints = np.zeros((len(histories), max(number, 1)))
    if number:
        _place(histories.offsets, histories.ds, spec.changepoint_range, changepoints)
    return changepoints


@compiled
def _place(offsets: Ints, ds: Dates, share: float, changepoints: Floats) -> None:
    """Write Prophet's automatic changepoints: evenly over the rows of the first part of the history but the first."""
    n, number = changepoints.shape
    for i in range(n):
        a, b = offsets[i], offsets[i + 1]
        span = ds[b - 1] - ds[a]
        last = int(np.floor((b - a) * share)) - 1
        step = last / number
        for j in range(number):
            row = last if j == number - 1 else int(np.rint((j + 1) * step))
            changepoints[i, j] = (ds[a + row] - ds[a]) / span
