"""Which tests are about which module, and so are to notice a fault in it: the quick ones first."""

from __future__ import annotations

CORE, ENDS = "tests/core/test_", "tests/end_to_end/test_"
CASES = f"{CORE}csv_cases.py"
READING = (f"{CORE}csv_dialect.py", f"{CORE}load_series.py", f"{CORE}read_boundaries.py", CASES)
DATES = (f"{CORE}date_style.py", f"{CORE}timezones.py", f"{CORE}aggregate.py", CASES, f"{CORE}calendars.py")
REQUESTS = (f"{CORE}requests.py", f"{CORE}sources.py", f"{CORE}messages.py", f"{CORE}inbox.py")
BOOKS = (
    f"{CORE}books.py", f"{CORE}output_folder.py", f"{CORE}foreign_text.py", "tests/transforms/test_coders.py",
    f"{ENDS}pipeline.py", f"{ENDS}replay_and_reconcile.py", f"{ENDS}watch.py",
)  # fmt: skip
FAULTS = (f"{CORE}narrowing.py", f"{CORE}isolation.py")
SERIES = (
    f"{CORE}load_series.py", f"{CORE}forecast_batch.py", f"{CORE}aggregate.py", f"{CORE}timezones.py", CASES,
    f"{CORE}library.py", f"{CORE}calendars.py",
)  # fmt: skip

PAIRED: dict[str, tuple[str, ...]] = {
    "core/dates/calendars.py": (*DATES, f"{CORE}forecast_batch.py"),
    "core/dates/frequencies.py": (*DATES, f"{CORE}forecast_batch.py"),
    "core/dates/infer_frequency.py": DATES,
    "core/dates/date_style.py": DATES,
    "core/dates/recognise_dates.py": DATES[:-1],
    "core/dates/aggregate.py": DATES[:-1],
    "core/csv_reading/numbers.py": READING,
    "core/csv_reading/number_dialect.py": READING,
    "core/csv_reading/header.py": READING,
    "core/csv_reading/dialect.py": READING,
    "core/csv_reading/table_place.py": READING,
    "core/requests/messages.py": (*REQUESTS, f"{ENDS}replay_and_reconcile.py"),
    "core/requests/names.py": (*REQUESTS, f"{CORE}output_folder.py"),
    "core/requests/local_files.py": (*REQUESTS, f"{CORE}output_folder.py", f"{CORE}costs.py", f"{ENDS}watch.py"),
    "core/requests/uris.py": (*REQUESTS, f"{CORE}forecast_spec.py"),
    "core/outputs/receipts.py": BOOKS,
    "core/outputs/outcomes.py": BOOKS,
    "core/outputs/summary.py": BOOKS,
    "core/outputs/tables.py": (*BOOKS, f"{CORE}components.py"),
    "core/outputs/forecast_csv.py": (
        f"{CORE}csv_dialect.py", f"{CORE}forecast_batch.py", f"{CORE}timezones.py", f"{CORE}components.py",
        f"{CORE}report.py",
    ),
    "core/outputs/problem_note.py": BOOKS,
    "core/series/duplicates.py": SERIES[:-1],
    "core/series/batch.py": SERIES,
    "core/series/layout.py": (*SERIES[:-1], f"{CORE}csv_dialect.py", "tests/transforms/test_coders.py"),
    "core/faults/alone.py": FAULTS,
    "core/faults/internal_error.py": FAULTS,
    "core/faults/isolation.py": FAULTS,
    "core/faults/narrowing.py": FAULTS,
    "core/spec_limits.py": (f"{CORE}forecast_spec.py", f"{CORE}costs.py", CASES, f"{CORE}load_series.py"),
    "core/elements.py": (f"{CORE}messages.py", *BOOKS),
    "core/request_key.py": (f"{CORE}forecast_spec.py", f"{CORE}messages.py", f"{CORE}output_folder.py"),
    "core/plain_text.py": (f"{CORE}foreign_text.py", f"{CORE}output_folder.py"),
    "folder/receipts.py": BOOKS,
    "folder/dead_letters.py": BOOKS,
    "folder/lookout.py": (f"{CORE}inbox.py", f"{CORE}requests.py", f"{CORE}sources.py", f"{ENDS}watch.py"),
    "folder/inbox.py": (f"{CORE}inbox.py", f"{CORE}sources.py", f"{CORE}output_folder.py", f"{ENDS}watch.py"),
}  # fmt: skip
# They take long, and what they would notice the others do.
LEFT_OUT = (
    "tests/core/test_narrowing.py::test_each_row_that_raises_is_blamed_and_no_other",
    "tests/core/test_isolation.py::test_a_child_has_its_time",
    "tests/core/test_library.py::test_backtests_and_fits_need_no_rows_after_the_end",
)
