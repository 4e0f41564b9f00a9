"""Accuracy on sets of series: Dropcast with each model, a seasonal naive forecast, and statsforecast's models.

    python benchmarks/accuracy.py FOLDER [--sets=m1_monthly,nn5_daily] [--rivals=PATH/TO/python]

FOLDER holds NAME_train.csv and NAME_test.csv with the columns unique_id, ds, y; a series' rows in the test file follow
those in the training file. Each set's horizon is that of its longest test series. statsforecast runs in its own
environment (requirements-rivals.txt); without it, its models and f are left out.

For each model: mean sMAPE in percent and mean MASE over the series, the share of values inside the 80 % interval, and
how much better or worse than f it is (sMAPE and MASE; difference and its paired standard error). f is the mean of the
forecasts of AutoETS, AutoTheta and seasonal naive. MASE is scaled by the naive error a season apart in the training
part; a season is a year of months or quarters, a week of days, a day of hours, and one step of weeks and years.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

import dropcast
from pipeline.core.dates.frequencies import parse_frequency
from pipeline.core.dates.seasons import season_length

LEVEL = 80
MODELS = ("prophet", "auto")
OF_F = ("AutoETS", "AutoTheta", "seasonal naive")
WEEKS_AND_LONGER = 52  # a season of this many steps and more is none: the competitions' convention for weeks


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", default="", help="names of sets; by default all that are in FOLDER")
    parser.add_argument("--rivals", default=".venv-rivals/bin/python", help="the rivals' interpreter [%(default)s]")
    arguments = parser.parse_args()
    found = sorted(path.name.removesuffix("_train.csv") for path in arguments.folder.glob("*_train.csv"))
    names = [name for name in arguments.sets.split(",") if name] or found
    if not names:
        parser.error(f"{arguments.folder} holds no file named *_train.csv")
    for name in names:
        train = pd.read_csv(arguments.folder / f"{name}_train.csv", dtype={"unique_id": str})
        test = pd.read_csv(arguments.folder / f"{name}_test.csv", dtype={"unique_id": str})
        print(_table(name, train, test, arguments.rivals), flush=True)


def _table(name: str, train: pd.DataFrame, test: pd.DataFrame, rivals: str) -> str:
    test = test.assign(step=test.groupby("unique_id").cumcount())
    horizon = int(test["step"].max()) + 1
    forecasts, season = _of_dropcast(train, horizon)
    forecasts["seasonal naive"] = _seasonal_naive(train, horizon, season)
    if Path(rivals).exists():
        forecasts |= _of_rivals(rivals, train, horizon, season)
        parts = [forecasts[part].set_index(["unique_id", "step"])["prediction"] for part in OF_F]
        forecasts["f"] = (sum(parts[1:], parts[0]) / len(parts)).reset_index()
    scale = train.groupby("unique_id")["y"].apply(lambda y: y.diff(season).abs().mean())
    errors = {model: _errors(test, forecast, scale) for model, forecast in forecasts.items()}
    lines = [f"\n{name}: {test['unique_id'].nunique():,} series, horizon {horizon}, season {season}"]
    lines.append(f"  {'':22s}{'sMAPE':>8s}{'MASE':>8s}{'80 %':>8s}   sMAPE and MASE against f")
    for model, error in errors.items():
        inside = f"{100 * error['inside'].mean():.1f} %" if "lower" in forecasts[model] else ""
        against = "   ".join(_against(error[of], errors["f"][of]) for of in ("smape", "mase")) if "f" in errors else ""
        lines.append(f"  {model:22s}{error['smape'].mean():8.2f}{error['mase'].mean():8.3f}{inside:>8s}   {against}")
    return "\n".join(lines)


def _of_dropcast(train: pd.DataFrame, horizon: int) -> tuple[dict[str, pd.DataFrame], int]:
    """Return the forecasts of each model, and the number of steps in a season."""
    frequency = dropcast.check(train)["frequency"].mode()[0]
    names = {"Dropcast": "prediction", f"Dropcast-lo-{LEVEL}": "lower", f"Dropcast-hi-{LEVEL}": "upper"}
    found = {}
    for model in MODELS:
        table = dropcast.forecast(train, model=model, horizon=horizon, level=LEVEL).rename(columns=names)
        found[model] = table.assign(step=table.groupby("unique_id").cumcount())
    season = season_length(parse_frequency(frequency))
    return found, 1 if season >= WEEKS_AND_LONGER else season


def _seasonal_naive(train: pd.DataFrame, horizon: int, season: int) -> pd.DataFrame:
    steps = np.arange(horizon)
    rows = []
    for unique_id, y in train.groupby("unique_id", sort=False)["y"]:
        last = y.to_numpy()[-season:]
        rows.append(pd.DataFrame({"unique_id": unique_id, "step": steps, "prediction": last[steps % len(last)]}))
    return pd.concat(rows, ignore_index=True)


def _of_rivals(python: str, train: pd.DataFrame, horizon: int, season: int) -> dict[str, pd.DataFrame]:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "train.csv", Path(folder) / "forecasts.csv"
        train.to_csv(source, index=False)
        worker = Path(__file__).with_name("accuracy_rivals.py")
        call = [python, str(worker), str(source), str(target), str(horizon), str(season), str(LEVEL)]
        subprocess.run(call, check=True, stderr=subprocess.DEVNULL)
        table = pd.read_csv(target, dtype={"unique_id": str})
    return {model: part.drop(columns="model") for model, part in table.groupby("model", sort=False)}


def _errors(test: pd.DataFrame, forecast: pd.DataFrame, scale: pd.Series) -> pd.DataFrame:
    """Return sMAPE, MASE and the share of values inside the interval, a row for each series."""
    joined = test[["unique_id", "step", "y"]].merge(forecast, on=["unique_id", "step"], validate="one_to_one")
    if len(joined) < len(test):
        print(f"  {test['unique_id'].nunique() - joined['unique_id'].nunique():,} series have no forecast")
    off = (joined["y"] - joined["prediction"]).abs()
    size = joined["y"].abs() + joined["prediction"].abs()
    joined["smape"] = 200 * off / size.where(size > 0, 1.0)
    joined["off"] = off
    joined["inside"] = joined["y"].between(joined["lower"], joined["upper"]) if "lower" in joined else np.nan
    found = joined.groupby("unique_id")[["smape", "off", "inside"]].mean()
    found["mase"] = found["off"] / scale.where(scale > 0)  # a constant history has no scale and does not count
    return found


def _against(own: pd.Series, other: pd.Series) -> str:
    """Return the mean difference of two models' errors and its paired standard error."""
    difference = (own - other).dropna()
    return f"{difference.mean():+7.3f} ± {difference.std() / np.sqrt(len(difference)):.3f}"


if __name__ == "__main__":
    main()
