"""What a month on Google Cloud costs, from assumed unit prices and measured work: python benchmarks/cost_model.py

docs/cost.md has the formulas and is generated from here. Change PRICES to those of your region and run this again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

ASSUMED_ON = "2026-11-21"
# US dollars. Assumed, at about the level of list prices for a large American region; no price list was at hand.
PRICES = {
    "streaming_vcpu_hour": 0.069, "batch_vcpu_hour": 0.056, "memory_gb_hour": 0.0036, "disk_gb_hour": 0.000054,
    "streaming_engine_gb": 0.018, "shuffle_gb": 0.011, "write_calls_1000": 0.005, "read_calls_1000": 0.0004,
    "service_vcpu_hour": 0.0864, "service_gb_hour": 0.009,
    "storage_gb_month": 0.02, "pubsub_gb": 0.04, "insert_gb": 0.05, "table_gb_month": 0.02,
}  # fmt: skip
MEANINGS = {
    "streaming_vcpu_hour": "Dataflow, a vCPU for an hour, streaming", "batch_vcpu_hour": "the same, batch",
    "memory_gb_hour": "Dataflow, a GB of memory for an hour", "disk_gb_hour": "Dataflow, a GB of disk for an hour",
    "streaming_engine_gb": "Streaming Engine, a GB processed", "shuffle_gb": "Dataflow Shuffle, a GB processed",
    "write_calls_1000": "Cloud Storage, 1,000 calls that write or list",
    "read_calls_1000": "Cloud Storage, 1,000 calls that read", "storage_gb_month": "Cloud Storage, a GB for a month",
    "service_vcpu_hour": "Cloud Run, a vCPU for an hour of work",
    "service_gb_hour": "Cloud Run, a GB for an hour of work",
    "pubsub_gb": "Pub/Sub, a GB", "insert_gb": "BigQuery, a GB by insertAll (loads are free)",
    "table_gb_month": "BigQuery, a GB in tables for a month",
}  # fmt: skip

# A worker: e2-standard-2 with the 60 GB disk that pipeline/launch.py asks for.
VCPUS, MEMORY_GB, DISK_GB = 2, 8, 60
# An instance of the service as terraform/modules/dropcast has it, billed while it works on a request.
SERVICE_VCPUS, SERVICE_GB = 2, 4
PUSH_SECONDS = 1.5  # of an instance for a small file, which waits for seventeen calls and three inserts: assumed
# Measured: docs/performance.md.
FILE_SECONDS = 0.08  # of one vCPU for a small file between buckets
SERIES_SECONDS = 0.00025  # of one vCPU for a series of 365 rows in a large file, with its score and its rows of tables
CSV_GB = 1.1e-5  # of a series of 365 rows
# Counted by tests/cloud/test_calls.py. Six writes: a small file's own upload, two markers of the work in progress, the
# first try of its part, its forecast and its receipt. Seven calls read, and four if all is done in one go. Deleting
# is free.
FILE_WRITES, FILE_READS = 6, 7
# Assumed: bytes of a row of forecasts and of actuals, and of a notification with its receipt; how often a block passes
# through the service. A series has a row of either table for each step. insertAll bills at least 1 KB for each row.
ROWS_GB, MESSAGE_GB, STEPS_AHEAD = (3e-7, 2e-7), 3e-6, 28
INSERTED_ROW_GB = 1e-6
# At-least-once is billed by the Streaming Engine Compute Units that a job uses, which only a run can show.
SERVICE = "service, scaled to zero"
PASSES = {"streaming, exactly once": 3, "streaming, at least once": None, "batch, nightly": 1, SERVICE: 0}
START_HOURS = 0.15  # of one worker, before and after the work of a batch job: assumed
MONTH_HOURS, NIGHTS = 730, 30


@dataclass(frozen=True)
class Load:
    """The work of each day."""

    title: str
    files: int
    series: int


LOADS = (
    Load("nothing (idle)", 0, 0),
    Load("1,000 files of one series a day", 1000, 1000),
    Load("1,000,000 series in 100 files a night", 100, 1_000_000),
    Load("100,000,000 series in 10,000 files a night", 10_000, 100_000_000),
)
FEW_VCPUS, MANY_VCPUS = 8, 128  # of a batch job


def monthly(load: Load, mode: str) -> dict[str, float]:
    """Return the dollars per month by kind, for a load in a mode of PASSES; NaN for what is billed by units."""
    streaming, service = mode.startswith("streaming"), mode == SERVICE
    vcpu = PRICES["streaming_vcpu_hour" if streaming else "batch_vcpu_hour"]
    worker_hour = VCPUS * vcpu + MEMORY_GB * PRICES["memory_gb_hour"] + DISK_GB * PRICES["disk_gb_hour"]
    busy = (load.files * FILE_SECONDS + load.series * SERIES_SECONDS) / VCPUS / 3600 * NIGHTS  # worker hours
    # one streaming worker always runs and does this work too, as far as its time suffices
    hours = max(MONTH_HOURS, busy) if streaming else (busy + START_HOURS * NIGHTS if load.files else 0)
    if service:
        worker_hour = SERVICE_VCPUS * PRICES["service_vcpu_hour"] + SERVICE_GB * PRICES["service_gb_hour"]
        hours = (load.files * PUSH_SECONDS + load.series * SERIES_SECONDS) / 3600 * NIGHTS
    passes = PASSES[mode]
    moved = math.nan if passes is None else load.series * (CSV_GB + STEPS_AHEAD * sum(ROWS_GB)) * NIGHTS * passes
    steps = load.series * STEPS_AHEAD * NIGHTS
    rows = steps * sum(ROWS_GB)
    inserted = (
        steps * len(ROWS_GB) * INSERTED_ROW_GB if (streaming or service) and load.series <= 512 * load.files else 0
    )
    calls = load.files * NIGHTS / 1000
    return {
        "workers": hours * worker_hour,
        "shuffle": moved * PRICES["streaming_engine_gb" if streaming else "shuffle_gb"],
        "calls": calls * (FILE_WRITES * PRICES["write_calls_1000"] + FILE_READS * PRICES["read_calls_1000"]),
        "messages": load.files * MESSAGE_GB * NIGHTS * PRICES["pubsub_gb"] if streaming or service else 0,
        "rows": inserted * PRICES["insert_gb"],
        "kept": (rows + load.series * CSV_GB) * PRICES["table_gb_month"],
    }


def crossover() -> int:
    """Return how many small files a day cost the same with the service as with a streaming job."""
    some = Load("", 1000, 1000)
    of_files = monthly(some, SERVICE)["workers"] / some.files
    return 1000 * round(monthly(LOADS[0], "streaming, exactly once")["workers"] / of_files / 1000)


def nights() -> list[str]:
    """Return the lines of a table of what one night costs as a batch job, whose files are read by as many workers."""
    lines = [f"| a night | vCPU hours | minutes on {FEW_VCPUS} vCPUs | on {MANY_VCPUS} | workers | shuffle | total |",
             "| --- " * 7 + "|"]  # fmt: skip
    for load in LOADS[2:]:
        hours = (load.files * FILE_SECONDS + load.series * SERIES_SECONDS) / 3600
        few, many = (60 * (hours / vcpus + START_HOURS) for vcpus in (FEW_VCPUS, MANY_VCPUS))
        costs = monthly(load, "batch, nightly")
        workers, shuffle = costs["workers"] / NIGHTS, costs["shuffle"] / NIGHTS
        total = (sum(costs.values()) - costs["kept"]) / NIGHTS
        lines.append(
            f"| {load.title.removesuffix(' a night')} | {hours:.2f} | {few:.0f} | {many:.0f} | {workers:.2f} | "
            f"{shuffle:.2f} | {total:.2f} |"
        )
    return lines


def tables() -> str:
    """Return the tables, as docs/cost.md shows them."""
    lines = [f"Prices in US dollars, assumed on {ASSUMED_ON}:", "", "| price | for |", "| --- | --- |"]
    lines += [f"| {price:g} | {MEANINGS[name]} |" for name, price in PRICES.items()]
    kinds = list(monthly(LOADS[0], next(iter(PASSES))))
    lines += ["", f"| load, per month | mode | {' | '.join(kinds)} | total |", "| --- " * (len(kinds) + 3) + "|"]
    for load in LOADS:
        for mode in PASSES:
            costs = monthly(load, mode)
            cells = " | ".join("by units" if math.isnan(costs[kind]) else f"{costs[kind]:.2f}" for kind in kinds)
            total = f"{sum(cost for cost in costs.values() if not math.isnan(cost)):.2f}"
            if any(map(math.isnan, costs.values())):
                total += " and the units"
            lines.append(f"| {load.title} | {mode} | {cells} | {total} |")
    lines += ["", *nights()]
    lines += [
        "",
        f"The service and a streaming job's one worker cost the same at {crossover():,.0f} small files a day.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(tables())
