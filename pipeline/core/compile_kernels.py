"""Compiles the kernels, so that no user waits for it: `python -m pipeline.core.compile_kernels`.

Run when the package is installed, or when an image is built (with NUMBA_CPU_NAME set to a CPU level that all of its
machines have, since compiled code is kept by CPU).
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from pipeline.core.arrays import Floats
from pipeline.core.csv_reading.number_tables import PairTable, TextTable
from pipeline.core.csv_reading.row_ends import end_of_last_row
from pipeline.core.dates.calendars import DAY
from pipeline.core.dates.frequencies import parse_frequency
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.members.forecast import forecast_series
from pipeline.core.members.history import History
from pipeline.core.model.fit import SHARED_FROM, fit
from pipeline.core.model.histories import Histories
from pipeline.core.model.intervals.logistic import simulated_interval
from pipeline.core.model.intervals.of_forecast import intervals
from pipeline.core.model.predict import predict

ROWS, HORIZON = 60, 3
ROWS_OF = {"YS": 20, "MS": 60, "W-SUN": 120, "D": 120, "h": 200}  # of a history of each frequency whose members differ


def main() -> None:
    """Compile in several processes, then once more whatever one of them overwrote in another's cache."""
    module = "pipeline.core.compile_kernels"
    others = [subprocess.Popen([sys.executable, "-m", module, part]) for part in PARTS if part != "linear"]
    PARTS["linear"]()
    failed = max([other.wait() for other in others], key=abs)
    if failed:
        sys.exit(failed)
    for part in PARTS.values():
        part()


def linear() -> None:
    """Forecast with Prophet's model, as most do."""
    _forecast_with_prophet(ForecastSpec(horizon=HORIZON))


def nonlinear() -> None:
    """Forecast with Prophet's model, multiplicative and logistic."""
    _forecast_with_prophet(ForecastSpec(horizon=HORIZON, growth="flat", seasonality_mode="multiplicative"))
    _forecast_with_prophet(ForecastSpec(horizon=HORIZON, growth="logistic", cap=10.0))


def members() -> None:
    """Forecast with the members of --model=auto at each frequency, and counts."""
    for frequency, rows in ROWS_OF.items():
        y: Floats = np.asarray(3 + np.sin(np.arange(rows) * 7.7))
        _forecast_with_members(frequency, y)
    _forecast_with_members("D", np.asarray(np.arange(ROWS) % 3 // 2.0))


def reading() -> None:
    """Do what a large CSV takes."""
    texts, numbers = TextTable(), PairTable()
    for _ in range(2):  # the second time there is no room left, and tables grow
        names = pa.array([f"s{number}" for number in range(3000)])
        known = texts.of(names)
        numbers.of(known, known)
    end_of_last_row(b'a,"b\n"\n', ",")


def _forecast_with_members(frequency: str, y: Floats) -> None:
    calendar = parse_frequency(frequency)
    dates = calendar.after(19_000 * DAY, len(y) + HORIZON)
    history = History.of(calendar, dates[: len(y)], y, dates[len(y) :])
    forecast_series(history, HORIZON, (80.0,))


PARTS: dict[str, Callable[[], None]] = {
    "linear": linear, "nonlinear": nonlinear, "members": members, "reading": reading,
}  # fmt: skip


def _forecast_with_prophet(spec: ForecastSpec) -> None:
    """Forecast a few series by every path, from arrays that may not be written, as those of Arrow are."""
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
    if sys.argv[1:]:
        PARTS[sys.argv[1]]()
    else:
        main()
