"""Names of the Beam metrics. They are stable: dashboards and alerts rely on them (docs/how-it-works.md)."""

from apache_beam.metrics import Metrics

NAMESPACE = "dropcast"
COUNTERS = (
    "messages", "requests", "duplicates", "done_before", "retries", "files_read",
    "series", "series_forecast", "series_failed", "rows",
    "receipts_complete", "receipts_partial", "receipts_failed", "receipts_superseded",
)  # fmt: skip
DISTRIBUTIONS = ("load_milliseconds", "fit_milliseconds")


def count_failure(code: str) -> None:
    """Count a dead letter under its code."""
    Metrics.counter(NAMESPACE, f"failures_{code}").inc()


def count_retry() -> None:
    """Count a call to a server that is retried."""
    Metrics.counter(NAMESPACE, "retries").inc()


def milliseconds(seconds: float) -> int:
    """Return whole milliseconds: Beam's distributions take integers."""
    return round(seconds * 1000)
