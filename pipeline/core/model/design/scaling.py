"""How Prophet scales what it fits: values by a scale and a floor, regressors by their mean and deviation."""

from __future__ import annotations

import numpy as np

from pipeline.core.arrays import Bools, Floats
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.model.histories import Histories


def capacity(option: float | str | None, extras: dict[str, Floats], shape: tuple[int, ...]) -> Floats:
    """Return a cap or floor for each row: a number for all, or a column."""
    if isinstance(option, str):
        return extras[option]
    return np.full(shape, 0.0 if option is None else option)


def scales(histories: Histories, spec: ForecastSpec) -> tuple[Floats, Floats, Floats]:
    """Return Prophet's y_scale and floor of each series, and the floor of each row."""
    starts, rows = histories.offsets[:-1], np.diff(histories.offsets)
    if spec.growth == "logistic" and spec.floor is not None:
        floors = capacity(spec.floor, histories.extras, histories.y.shape)
        floor = np.zeros(len(histories))
        if spec.scaling == "absmax":
            y_scale = np.maximum.reduceat(np.abs(histories.y - floors), starts)
        else:
            caps = capacity(spec.cap, histories.extras, histories.y.shape)
            y_scale = np.maximum.reduceat(caps, starts) - np.minimum.reduceat(floors, starts)
    elif spec.scaling == "absmax":
        floor = np.zeros(len(histories))
        y_scale, floors = np.maximum.reduceat(np.abs(histories.y), starts), np.zeros(len(histories.y))
    else:
        floor = np.minimum.reduceat(histories.y, starts)
        y_scale, floors = np.maximum.reduceat(histories.y, starts) - floor, np.repeat(floor, rows)
    return np.where(y_scale == 0, 1.0, y_scale), floor, floors


def constant_in(histories: Histories, name: str) -> Bools:
    """Return in which series an extra column never changes in the history, shape (n,)."""
    x, starts = histories.extras[name], histories.offsets[:-1]
    never: Bools = np.minimum.reduceat(x, starts) == np.maximum.reduceat(x, starts)
    return never


def standardisation(histories: Histories, spec: ForecastSpec) -> tuple[Floats, Floats]:
    """Return mean and standard deviation of each regressor in each series; 0 and 1 where it is not standardised."""
    starts, rows = histories.offsets[:-1], np.diff(histories.offsets)
    mean = np.zeros((len(histories), len(spec.regressors)))
    std = np.ones((len(histories), len(spec.regressors)))
    for i, regressor in enumerate(spec.regressors):
        x = histories.extras[regressor.name]
        varies = np.minimum.reduceat(x, starts) != np.maximum.reduceat(x, starts)
        wanted = varies if regressor.standardize is not False else np.zeros_like(varies)
        if regressor.standardize == "auto":
            wanted = wanted & ~np.logical_and.reduceat((x == 0) | (x == 1), starts)
        average = np.add.reduceat(x, starts) / rows
        squares = np.add.reduceat((x - np.repeat(average, rows)) ** 2, starts)
        mean[wanted, i] = average[wanted]
        std[wanted, i] = np.sqrt(squares / (rows - 1))[wanted]
    return mean, std
