"""The cookbook's sample files, made up and always the same: `python data.py sales.csv` writes one here."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd


def sales() -> pd.DataFrame:
    """Two years of daily sales of four stores, and promotions, planned until August 9th; one is shut on Sundays."""
    random = np.random.default_rng(1)
    dates = pd.date_range("2024-06-01", "2026-08-09")
    known = dates < "2026-07-01"
    week = np.array([0.9, 0.9, 0.95, 1.0, 1.2, 1.35, 0.7])[dates.day_of_week]
    december = 1 + 0.6 * np.exp(-(((dates.day_of_year - 354) / 9) ** 2))
    shut = ((dates.month == 12) & dates.day.isin([25, 26])) | ((dates.month == 1) & (dates.day == 1))
    parts = []
    for store, level in (("0003", 2400), ("0007", 1200), ("0012", 310), ("0021", 880)):
        promo = (random.random(len(dates)) < 0.1).astype(int)
        noise = random.lognormal(0, 0.08, len(dates))
        growth = 1 + random.normal(0.0003, 0.0002) * np.arange(len(dates))
        values = pd.Series(level * growth * week * december * (1 + 0.4 * promo) * noise).round(2).where(known)
        frame = pd.DataFrame({"store": store, "date": dates, "sales": values, "promo": promo})
        parts.append(frame[~(shut & known) & ~((store == "0012") & (dates.day_of_week == 6))])
    return pd.concat(parts)


def energy() -> pd.DataFrame:
    """Ten weeks of a building's energy use by the hour in kWh: busy on working days, quiet at night and at weekends."""
    random = np.random.default_rng(2)
    times = pd.date_range("2026-03-02", periods=10 * 7 * 24, freq="h")
    hour, working = times.hour, times.day_of_week < 5
    office = working * np.clip(np.minimum(hour - 5, 20 - hour) / 3, 0, 1)
    values = 32 + 58 * office + 6 * np.sin(2 * np.pi * (hour - 14) / 24) + random.normal(0, 3, len(times))
    return pd.DataFrame({"time": times.strftime("%Y-%m-%d %H:%M"), "kwh": values.round(1)})


def accounts() -> pd.DataFrame:
    """Six years of a company's books at month ends, a column an account."""
    random = np.random.default_rng(3)
    dates = pd.date_range("2020-01-31", periods=72, freq="ME")
    year = 1 + 0.15 * np.sin(2 * np.pi * (dates.month - 4) / 12)
    steps = np.arange(len(dates))
    revenue = 80_000 * 1.012**steps * year * random.lognormal(0, 0.025, len(dates))
    costs = 60_000 * 1.009**steps * random.lognormal(0, 0.02, len(dates))
    travel = 2_500 * (1 + 0.5 * np.isin(dates.month, [3, 9])) * random.lognormal(0, 0.2, len(dates))
    columns = {"month": dates.strftime("%Y-%m-%d"), "revenue": revenue, "costs": costs, "travel": travel}
    return pd.DataFrame(columns).round(0)


def counts() -> pd.DataFrame:
    """A year of the daily demand for four spare parts: most days have none."""
    random = np.random.default_rng(4)
    dates = pd.date_range("2025-01-01", periods=365)
    week = np.array([1.2, 1.1, 1.1, 1.1, 1.1, 0.7, 0.7])[dates.day_of_week]
    parts = []
    for part, orders, size in (("A-100", 0.9, 1), ("B-200", 0.25, 3), ("C-300", 0.08, 6), ("D-400", 3.0, 1)):
        units = [sum(random.poisson(size - 1) + 1 for _ in range(random.poisson(orders * w))) for w in week]
        parts.append(pd.DataFrame({"part": part, "date": dates, "units": units}))
    return pd.concat(parts)


FILES = {"sales.csv": sales, "energy.csv": energy, "accounts.csv": accounts, "counts.csv": counts}

if __name__ == "__main__":
    for name in sys.argv[1:] or FILES:
        FILES[name]().to_csv(name, index=False)
