"""Sample files for the demo: made up from a fixed seed, but realistic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

STORES = 200


def write_sample_files(folder: Path) -> list[Path]:
    """Write the sample files into a folder; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(20261121)
    files = {
        "page_views.csv": _page_views(random),
        "store_sales.csv": _store_sales(random),
        "monthly_accounts.csv": _monthly_accounts(random),
        "weekly_orders.csv": _weekly_orders(random),
        "hourly_energy.csv": _hourly_energy(random),
    }
    for name, frame in files.items():
        frame.to_csv(folder / name, index=False)
    (folder / "with_errors.csv").write_text(_with_errors(files["weekly_orders.csv"]))
    return sorted(folder.glob("*.csv"))


def _page_views(random: np.random.Generator) -> pd.DataFrame:
    """A year of a blog's daily page views: busy on weekdays, quiet at weekends, growing."""
    dates = pd.date_range("2025-07-01", periods=365)
    week = np.array([1.15, 1.2, 1.18, 1.1, 0.95, 0.65, 0.72])[dates.dayofweek]
    views = (1100 + 1.6 * np.arange(365)) * week * random.lognormal(0, 0.12, 365)
    views[[63, 64, 220]] *= 1.9  # somebody famous linked to it
    return pd.DataFrame({"date": dates.strftime("%Y-%m-%d"), "views": views.round().astype(int)}).rename(
        columns={"views": "y"}
    )


def _store_sales(random: np.random.Generator) -> pd.DataFrame:
    """A year of daily sales of 200 stores in one long table; some stores closed on Sundays, a few days missing."""
    dates = pd.date_range("2025-07-01", periods=365)
    frames = []
    for store in range(1, STORES + 1):
        level, growth = random.uniform(200, 3000), random.normal(0.0003, 0.0006)
        week = 1 + 0.35 * np.sin(2 * np.pi * (dates.dayofweek + random.uniform(0, 2)) / 7)
        december = 1 + 0.5 * np.exp(-(((dates.dayofyear - 354) / 9.0) ** 2))
        sales = level * (1 + growth * np.arange(365)) * week * december * random.lognormal(0, 0.1, 365)
        frame = pd.DataFrame({"store": f"{store:04d}", "date": dates.strftime("%Y-%m-%d"), "sales": sales.round(2)})
        keep = random.random(365) > 0.01
        if store % 5 == 0:
            keep &= dates.dayofweek != 6
        frames.append(frame[keep])
    return pd.concat(frames)


def _monthly_accounts(random: np.random.Generator) -> pd.DataFrame:
    """Ten years of a company's accounts at month ends, one column each."""
    dates = pd.date_range("2016-01-31", periods=120, freq="ME")
    year = 1 + 0.12 * np.sin(2 * np.pi * (dates.month - 3) / 12)
    revenue = 80_000 * 1.006 ** np.arange(120) * year * random.lognormal(0, 0.03, 120)
    costs = 60_000 * 1.005 ** np.arange(120) * random.lognormal(0, 0.02, 120)
    return pd.DataFrame({"month": dates.strftime("%Y-%m-%d"), "revenue": revenue.round(), "costs": costs.round()})


def _weekly_orders(random: np.random.Generator) -> pd.DataFrame:
    """Four years of weekly orders of three regions."""
    dates = pd.date_range("2022-06-06", periods=208, freq="W-MON")
    frames = []
    for region, level in (("north", 420), ("south", 260), ("west", 90)):
        year = 1 + 0.25 * np.sin(2 * np.pi * (dates.dayofyear - 80) / 365.25)
        orders = random.poisson(level * year)
        frames.append(pd.DataFrame({"region": region, "week": dates.strftime("%Y-%m-%d"), "orders": orders}))
    return pd.concat(frames).rename(columns={"orders": "value"})


def _hourly_energy(random: np.random.Generator) -> pd.DataFrame:
    """Six weeks of a building's hourly energy use."""
    times = pd.date_range("2026-05-04", periods=6 * 7 * 24, freq="h")
    working = (times.dayofweek < 5) & (times.hour >= 7) & (times.hour < 19)
    use = 40 + 55 * working + 12 * np.sin(2 * np.pi * (times.hour - 9) / 24) + random.normal(0, 4, len(times))
    return pd.DataFrame({"timestamp": times.strftime("%Y-%m-%d %H:%M:%S"), "value": use.round(1)})


def _with_errors(orders: pd.DataFrame) -> str:
    """A table with typical mistakes: text in place of a number, and a series with only one row."""
    lines = orders.to_csv(index=False).splitlines()
    lines[30] = lines[30].rsplit(",", 1)[0] + ",n/k"
    return "\n".join([*lines, "east,2026-06-01,12"]) + "\n"
