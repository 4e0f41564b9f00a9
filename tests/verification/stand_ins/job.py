"""The streaming job: the real pipeline, with the defect that STAND_IN_FAULT names, if it names one of these."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from tests.verification.stand_ins.counters import write_counters


def changed_byte() -> None:
    from pipeline.cloud import output

    rows = output.csv_rows
    output.csv_rows = lambda *given: rows(*given).replace(b"1", b"2", 1)


def counted_twice() -> None:
    from pipeline.cloud import tables

    sql = tables.view_sql
    twice = "SELECT * FROM forecasts UNION ALL SELECT * FROM forecasts"
    tables.view_sql = lambda view: twice if view == "latest_forecasts" else sql(view)


def view_missing() -> None:
    from pipeline.cloud import tables

    tables.VIEWS = tables.VIEWS[:-1]


def letter_missing() -> None:
    from pipeline.cloud import dead_letters

    dead_letters.insert_own = lambda *_: None


def forecast_again() -> None:
    from pipeline.cloud.receipts import BucketReceipts
    from pipeline.transforms.deduplicate import Deduplicate

    BucketReceipts.is_done = lambda *_: False  # type: ignore[method-assign]
    Deduplicate.expand = lambda _, requests: requests  # type: ignore[method-assign]


FAULTS: dict[str, Callable[[], None]] = {
    "changed byte": changed_byte,
    "row counted twice": counted_twice,
    "view missing": view_missing,
    "dead letter missing": letter_missing,
    "duplicate forecast twice": forecast_again,
}

if __name__ == "__main__":
    write_counters()
    FAULTS.get(os.environ.get("STAND_IN_FAULT", ""), lambda: None)()
    from pipeline.main import main

    sys.exit(main())
