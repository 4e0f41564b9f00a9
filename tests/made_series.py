"""Series made up for tests of the model, and the options that it is tried with."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from pipeline.core.model.histories import Histories

DAY = 86_400_000_000


def dates(start: str, n: int, freq: str) -> np.ndarray:
    return pd.date_range(start, periods=n, freq=freq).to_numpy().astype("datetime64[us]").astype(np.int64)


def sales(n: int, seed: int = 0) -> np.ndarray:
    random, t = np.random.default_rng(seed), np.arange(n)
    level = 100 + np.cumsum(random.normal(0, 0.3, n)) + np.where(t > n // 2, (t - n // 2) * 0.1, 0)
    return level + 10 * np.sin(2 * np.pi * t / 7) + 5 * np.sin(2 * np.pi * t / 365.25) + random.normal(0, 2, n)


def histories(*parts: tuple[np.ndarray, np.ndarray], **extras: list[np.ndarray]) -> Histories:
    offsets = np.concatenate([[0], np.cumsum([len(ds) for ds, _ in parts])])
    flat = {name: np.concatenate(columns) for name, columns in extras.items()}
    ds, y = np.concatenate([ds for ds, _ in parts]), np.concatenate([y for _, y in parts])
    ds.flags.writeable = y.flags.writeable = False  # as Arrow's are, and for which the kernels are compiled
    return Histories(offsets, ds, y, flat)


def extras_for(n: int, seed: int = 1) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {
        "price": random.normal(3, 1, n), "promo": (random.random(n) < 0.2).astype(float),
        "price2": random.normal(0, 2, n), "ceiling": np.linspace(300, 500, n),
    }  # fmt: skip


CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "no changepoints": {"n_changepoints": 0},
    "changepoints given": {"changepoints": (datetime(2022, 5, 1), datetime(2023, 2, 1))},
    "stiff": {"changepoint_prior_scale": 0.001, "changepoint_range": 1.0},
    "loose": {"changepoint_prior_scale": 5.0, "seasonality_prior_scale": 0.01},
    "flat": {"growth": "flat"},
    "flat multiplicative": {"growth": "flat", "seasonality_mode": "multiplicative"},
    "minmax": {"scaling": "minmax"},
    "multiplicative": {"seasonality_mode": "multiplicative"},
    "logistic": {"growth": "logistic", "cap": 400.0},
    "logistic with floor": {"growth": "logistic", "cap": "ceiling", "floor": 20.0},
    "logistic minmax": {"growth": "logistic", "cap": "ceiling", "floor": 20.0, "scaling": "minmax"},
    "country": {"country_holidays": "US"},
    "holidays": {
        "holidays": '[{"holiday":"sale","ds":["2022-11-25","2023-11-24"],"lower_window":-1,"upper_window":2,'
        '"prior_scale":3}]',
        "holidays_mode": "multiplicative",
    },
    "regressors": {
        "regressors": '[{"name":"price","mode":"multiplicative"},{"name":"promo"},'
        '{"name":"price2","standardize":false}]'
    },
    "custom seasonality": {
        "seasonalities": '[{"name":"monthly","period":30.5,"fourier_order":4,"prior_scale":2},'
        '{"name":"weekly on promotion","period":7,"fourier_order":2,"condition_name":"promo","mode":"multiplicative"}]',
        "yearly_seasonality": 4,
        "weekly_seasonality": True,
    },
}
