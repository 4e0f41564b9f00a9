"""The files that are uploaded: the same ones every time, good and bad."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from demo.load_test import made_up
from demo.sample_files import write_sample_files

SERIES, DAYS = 520, 28  # of many_series.csv: more than a block of 512 series, so that its rows are loaded
MANIFEST_OUTPUT = "accounts_by_manifest.csv"
MANIFEST = "accounts.manifest.json"
MANIFEST_INPUT = "monthly_accounts.csv"
LOADED = "many_series.csv"  # the file whose rows come by load jobs
REPEATED = "page_views.csv"  # the file that is announced again
_OF_THE_DEMO = (REPEATED, "weekly_orders.csv", "hourly_energy.csv", "with_errors.csv", MANIFEST_INPUT)


@dataclass(frozen=True)
class LocalFiles:
    """Files on this machine.

    Attributes:
        data: the folder of the tables to upload.
        manifests: a folder with the manifest and a copy of its input. It is another one, because a local run does not
            also forecast a table that a manifest names, and a bucket's pipeline does.
    """

    data: Path
    manifests: Path


def write_files(folder: Path, prefix: str) -> LocalFiles:
    """Write the files of several shapes below folders; names begin with a prefix, as they do in the bucket.

    Args:
        folder: a new folder.
        prefix: such as verification/20260101T000000/shapes/.
    """
    samples = folder / "samples"
    write_sample_files(samples)
    files = LocalFiles(folder / "data", folder / "manifests")
    data, manifests = files.data / prefix, files.manifests / prefix
    for made in (data, manifests):
        made.mkdir(parents=True)
    for name in _OF_THE_DEMO:
        (data / name).write_bytes((samples / name).read_bytes())
    views = (data / REPEATED).read_bytes()
    (data / "page_views_packed.csv.gz").write_bytes(gzip.compress(views, mtime=0))
    table = pd.read_csv(data / "weekly_orders.csv", parse_dates=["week"])
    table.to_parquet(data / "weekly_orders_table.parquet", index=False)
    (data / LOADED).write_text(many_series())
    (data / "no_dates.csv").write_text("name,amount\nnorth,1\nsouth,2\n")
    manifest = {
        "input": MANIFEST_INPUT, "value_column": ["revenue", "costs"], "horizon": 12,
        "output": f"{prefix}{MANIFEST_OUTPUT}",
    }  # fmt: skip
    (manifests / MANIFEST).write_text(json.dumps(manifest))
    (manifests / MANIFEST_INPUT).write_bytes((data / MANIFEST_INPUT).read_bytes())
    return files


def many_series() -> str:
    """Return a table of SERIES short daily series."""
    dates = [f"{day:%Y-%m-%d}" for day in pd.date_range("2026-03-02", periods=DAYS)]
    lines = [
        f"item {series:04d},{date},{50 + series % 17 + (day * (3 + series % 5)) % 7}"
        for series in range(SERIES)
        for day, date in enumerate(dates)
    ]
    return "unique_id,ds,y\n" + "\n".join(lines) + "\n"


def small_file() -> str:
    """Return a year of one daily series: the file of the load test."""
    return made_up()
