"""Compiles the kernels, so that no user waits for it: `python -m pipeline.core.model.compile_kernels`.

Run when the package is installed, or when an image is built (with NUMBA_CPU_NAME set to a CPU level that all of its
machines have, since compiled code is kept by CPU).
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import numpy as np

from pipeline.core.dates.calendars import DAY
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.model.fit import SHARED_FROM, fit
from pipeline.core.model.histories import Histories
from pipeline.core.model.intervals.logistic import simulated_interval
from pipeline.core.model.intervals.of_forecast import intervals
from pipeline.core.model.predict import predict

ROWS, HORIZON = 60, 3
LINEAR = (ForecastSpec(horizon=HORIZON),)
NONLINEAR = (
    ForecastSpec(horizon=HORIZON, growth="flat", seasonality_mode="multiplicative"),
    ForecastSpec(horizon=HORIZON, growth="logistic", cap=10.0),
)


def main() -> None:
    """Compile in two processes, then once more whatever one of them overwrote in the other's cache."""
    other = subprocess.Popen([sys.executable, "-m", "pipeline.core.model.compile_kernels", "--nonlinear"])
    forecast_a_few(LINEAR)
    if other.wait():
        sys.exit(other.returncode)
    forecast_a_few((*LINEAR, *NONLINEAR))


def forecast_a_few(specs: Sequence[ForecastSpec]) -> None:
    """Forecast a few series by every path, from arrays that may not be written, as those of Arrow are."""
    for spec in specs:
        for series in (1, SHARED_FROM):
            ds = np.tile(19_000 * DAY + DAY * np.arange(ROWS, dtype=np.int64), series)
            y = 3 + np.sin(np.arange(ROWS * series) * 7.7)
            ds.flags.writeable = y.flags.writeable = False
            for fitted in fit(Histories(ROWS * np.arange(series + 1), ds, y), spec):
                future = np.tile((19_000 + ROWS) * DAY + DAY * np.arange(HORIZON, dtype=np.int64), (series, 1))
                prediction = predict(fitted, future, {})
                intervals(fitted, prediction, spec.level)
                if spec.growth == "logistic":
                    simulated_interval(fitted, prediction, 0, 0.5, 1.0, 0.1, (0.8,))


if __name__ == "__main__":
    if "--nonlinear" in sys.argv[1:]:
        forecast_a_few(NONLINEAR)
    else:
        main()
