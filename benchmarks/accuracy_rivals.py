"""Forecasts a set of series with statsforecast's models, in the rivals' environment.

python accuracy_rivals.py TRAIN.csv FORECASTS.csv HORIZON SEASON LEVEL
"""

from __future__ import annotations

import sys

import pandas as pd
from statsforecast import StatsForecast, models  # type: ignore[import-not-found]

RIVALS = ("AutoETS", "AutoTheta", "DynamicOptimizedTheta")


def main() -> None:
    """Read the series, write the forecasts: unique_id, step, prediction, lower, upper, model."""
    source, target, horizon, season, level = *sys.argv[1:3], *map(int, sys.argv[3:6])
    train = pd.read_csv(source, dtype={"unique_id": str})
    train["ds"] = train.groupby("unique_id").cumcount()
    chosen = [getattr(models, name)(season_length=season) for name in RIVALS]
    fallback = models.Naive()  # for histories that are too short for a model
    engine = StatsForecast(models=chosen, freq=1, n_jobs=-1, fallback_model=fallback)
    table = engine.forecast(df=train[["unique_id", "ds", "y"]], h=horizon, level=[level])
    table["step"] = table.groupby("unique_id").cumcount()
    parts = []
    for name in RIVALS:
        columns = {name: "prediction", f"{name}-lo-{level}": "lower", f"{name}-hi-{level}": "upper"}
        parts.append(table[["unique_id", "step", *columns]].rename(columns=columns).assign(model=name))
    pd.concat(parts).to_csv(target, index=False)


if __name__ == "__main__":
    main()
