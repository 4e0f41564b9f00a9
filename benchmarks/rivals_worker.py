"""Times one rival at a time in the rivals' environment, at the request of a program in Dropcast's environment.

Reads one JSON object per line from standard input:
    {"rival": "prophet", "rows": 365, "series": 4, "ragged": false, "seed": 1, "mode": "additive"}
and answers each with a line of seconds for all series together:
    {"fit": 0.31, "predict": 0.22}
where "predict" is the forecast of 28 days with an interval of 80 %. Only the requested rival is imported; each rival is
used as its own documentation shows, in one process.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from typing import Any

import pandas as pd
from series import HORIZON, Block, make_block

WARM_ROWS, WARM_SERIES = 150, 2
KEPT_COLUMNS = ["ds", "yhat", "yhat_lower", "yhat_upper"]


def main() -> None:
    """Answer requests until there are no more."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # keeps the rivals' output apart from the answers
    logging.disable(logging.CRITICAL)
    warm: set[tuple[str, str]] = set()
    for line in sys.stdin:
        request = json.loads(line)
        rival, mode = request["rival"], request["mode"]
        if (rival, mode) not in warm:
            run(rival, mode, make_block(WARM_ROWS, WARM_SERIES, False, 0))
            warm.add((rival, mode))
        block = make_block(request["rows"], request["series"], request["ragged"], request["seed"])
        fit, predict = run(rival, mode, block)
        answers.write(json.dumps({"fit": fit, "predict": predict}) + "\n")


def run(rival: str, mode: str, block: Block) -> tuple[float, float]:
    """Return the seconds that fits and forecasts took, without those of making the frames."""
    frames = [
        pd.DataFrame({"ds": block.days[a:b].astype("datetime64[D]").astype("datetime64[ns]"), "y": block.y[a:b]})
        for a, b in zip(block.offsets[:-1], block.offsets[1:], strict=True)
    ]
    if mode == "logistic":
        frames = [frame.assign(cap=cap) for frame, cap in zip(frames, block.cap, strict=True)]
    if rival == "prophet":
        return run_prophet(frames, options_of(mode))
    if rival == "prophet-batch":
        return run_prophet_batch(frames, options_of(mode))
    return run_statsforecast(frames, rival)


def options_of(mode: str) -> dict[str, Any]:
    """Return the arguments of Prophet's constructor."""
    if mode == "logistic":
        return {"growth": "logistic", "interval_width": 0.8}
    return {"seasonality_mode": mode, "interval_width": 0.8}


def future_of(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the dates to forecast, with the cap if there is one."""
    future = pd.DataFrame({"ds": frame["ds"].iloc[-1] + pd.to_timedelta(range(1, HORIZON + 1), unit="D")})
    return future.assign(cap=frame["cap"].iloc[0]) if "cap" in frame else future


def run_prophet(frames: list[pd.DataFrame], options: dict[str, Any]) -> tuple[float, float]:
    """Time stock Prophet, one series after another."""
    from prophet import Prophet

    futures = [future_of(frame) for frame in frames]
    start = time.perf_counter()
    models = [Prophet(**options).fit(frame) for frame in frames]
    fitted = time.perf_counter()
    for model, future in zip(models, futures, strict=True):
        model.predict(future)
    return fitted - start, time.perf_counter() - fitted


def run_prophet_batch(frames: list[pd.DataFrame], options: dict[str, Any]) -> tuple[float, float]:
    """Time prophet-batch: one call for all series, forecasting only the columns that are compared."""
    from prophet_batch import fit_many, predict_many  # type: ignore[import-not-found]

    frame = pd.concat([part.assign(unique_id=number) for number, part in enumerate(frames)], ignore_index=True)
    futures = {number: future_of(part) for number, part in enumerate(frames)}
    start = time.perf_counter()
    models = fit_many(frame, n_jobs=1, **options)
    fitted = time.perf_counter()
    predict_many(models, futures, seed=0, n_jobs=1, columns=KEPT_COLUMNS)
    return fitted - start, time.perf_counter() - fitted


def run_statsforecast(frames: list[pd.DataFrame], name: str) -> tuple[float, float]:
    """Time fit and forecast together, which is how statsforecast is used; the second number is 0."""
    from statsforecast import StatsForecast, models  # type: ignore[import-not-found]

    frame = pd.concat([part.assign(unique_id=number) for number, part in enumerate(frames)], ignore_index=True)
    start = time.perf_counter()
    forecaster = StatsForecast(models=[getattr(models, name)(season_length=7)], freq="D", n_jobs=1)
    forecaster.forecast(df=frame, h=HORIZON, level=[80])
    return time.perf_counter() - start, 0.0


if __name__ == "__main__":
    main()
