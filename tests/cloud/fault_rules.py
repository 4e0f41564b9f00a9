"""What goes wrong with servers, as rules of the fault proxy."""

from __future__ import annotations

from tests.local_cloud.fault_proxy import Rule


def storage_faults(often: float) -> list[Rule]:
    return [
        Rule("status", code=503, probability=often),
        Rule("status", code=429, probability=often),
        Rule("reset", probability=often),
        Rule("reset_after", method="POST|PUT|DELETE", probability=2 * often),
        Rule("cut", method="GET", path="alt=media", probability=2 * often),
        Rule("delay", seconds=0.2, probability=often),
    ]


def bigquery_faults(often: float) -> list[Rule]:
    return [
        Rule("status", path="insertAll", code=500, probability=often),
        Rule("status", path="insertAll", code=404, probability=often),  # as for a table that was just made
        Rule("reset_after", path="insertAll", probability=2 * often),
        Rule("reset", path="insertAll", probability=often),
    ]
