"""What a job is billed by, beside what docs/cost.md's formulas say of the same work."""

from __future__ import annotations

from benchmarks.cost_model import (
    DISK_GB,
    FILE_READS,
    FILE_SECONDS,
    FILE_WRITES,
    MEMORY_GB,
    PRICES,
    SERIES_SECONDS,
    START_HOURS,
    VCPUS,
)

STREAMING_HOURS = 2.0  # of one worker, with its starts, updates and drains: assumed

# Dataflow's own metrics of a job. Their units are not in the answer; these are those of its documentation and of its
# benchmarks, and the data processed is in what the metric's original name calls gb.
UNITS = {
    "TotalVcpuTime": "vCPU seconds",
    "TotalMemoryUsage": "MB seconds of memory",
    "TotalPdUsage": "GB seconds of disk",
    "TotalShuffleDataProcessed": "shuffled data, as reported",
    "BillableShuffleDataProcessed": "billable shuffled data, as reported",
    "TotalStreamingDataProcessed": "Streaming Engine data, as reported",
    "TotalSeCuUsage": "Streaming Engine Compute Units, as reported",
}
NEEDED = ("TotalVcpuTime", "TotalMemoryUsage", "TotalPdUsage")  # of each job; the others are of one kind


def units_of(metrics: dict[str, float]) -> dict[str, float]:
    """Return those of a job's metrics by which it is billed."""
    return {f"{name} ({unit})": metrics[name] for name, unit in UNITS.items() if name in metrics}


def dollars(metrics: dict[str, float], batch: bool) -> float:
    """Return what workers cost for these metrics, by the prices that docs/cost.md assumes."""
    vcpu = PRICES["batch_vcpu_hour" if batch else "streaming_vcpu_hour"]
    return (
        metrics["TotalVcpuTime"] / 3600 * vcpu
        + metrics["TotalMemoryUsage"] / 1024 / 3600 * PRICES["memory_gb_hour"]
        + metrics["TotalPdUsage"] / 3600 * PRICES["disk_gb_hour"]
    )


def formula_vcpu_seconds(files: int, series: int) -> float:
    """Return the vCPU seconds of a batch job by the formula of docs/cost.md."""
    return files * FILE_SECONDS + series * SERIES_SECONDS + START_HOURS * VCPUS * 3600


def streaming_dollars(hours: float) -> float:
    """Return what the one worker of a streaming job costs for some hours, without its disk."""
    return hours * (VCPUS * PRICES["streaming_vcpu_hour"] + MEMORY_GB * PRICES["memory_gb_hour"])


def estimate(batch_files: int) -> float:
    """Return the dollars that a verification costs by the formulas of docs/cost.md.

    The build and the Streaming Engine Compute Units are not in it: how many of them there are only a run can show.
    """
    disk = DISK_GB * PRICES["disk_gb_hour"]
    worker = VCPUS * PRICES["batch_vcpu_hour"] + MEMORY_GB * PRICES["memory_gb_hour"] + disk
    batch = formula_vcpu_seconds(batch_files, batch_files) / VCPUS / 3600 * worker
    calls = FILE_WRITES * PRICES["write_calls_1000"] + FILE_READS * PRICES["read_calls_1000"]
    return streaming_dollars(STREAMING_HOURS) + STREAMING_HOURS * disk + batch + batch_files / 1000 * calls
