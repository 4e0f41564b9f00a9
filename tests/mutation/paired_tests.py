"""Which tests are about which module, and so are to notice a fault in it: the quick ones first."""

from __future__ import annotations

CASES = "tests/core/csv_reading/test_csv_cases.py"
READING = (
    "tests/core/csv_reading/test_csv_dialect.py",
    "tests/core/series/test_load_series.py",
    "tests/core/csv_reading/test_read_boundaries.py",
    CASES,
)
DATES = (
    "tests/core/dates/test_date_style.py",
    "tests/core/dates/test_timezones.py",
    "tests/core/dates/test_aggregate.py",
    CASES,
    "tests/core/dates/test_calendars.py",
)
REQUESTS = (
    "tests/core/requests/test_requests.py",
    "tests/core/requests/test_sources.py",
    "tests/core/requests/test_messages.py",
    "tests/folder/test_inbox.py",
)
BOOKS = (
    "tests/core/outputs/test_books.py",
    "tests/folder/test_output_folder.py",
    "tests/core/test_foreign_text.py",
    "tests/transforms/test_coders.py",
    "tests/end_to_end/test_pipeline.py",
    "tests/end_to_end/test_replay_and_reconcile.py",
    "tests/end_to_end/test_watch.py",
)
FAULTS = ("tests/core/faults/test_narrowing.py", "tests/core/faults/test_isolation.py")
SERIES = (
    "tests/core/series/test_load_series.py",
    "tests/core/engines/test_forecast_batch.py",
    "tests/core/dates/test_aggregate.py",
    "tests/core/dates/test_timezones.py",
    CASES,
    "tests/library/test_library.py",
    "tests/core/dates/test_calendars.py",
)

PAIRED: dict[str, tuple[str, ...]] = {
    "core/dates/calendars.py": (*DATES, "tests/core/engines/test_forecast_batch.py"),
    "core/dates/frequencies.py": (*DATES, "tests/core/engines/test_forecast_batch.py"),
    "core/dates/infer_frequency.py": DATES,
    "core/dates/date_style.py": DATES,
    "core/dates/recognise_dates.py": DATES[:-1],
    "core/dates/aggregate.py": DATES[:-1],
    "core/csv_reading/numbers.py": READING,
    "core/csv_reading/number_dialect.py": READING,
    "core/csv_reading/header.py": READING,
    "core/csv_reading/dialect.py": READING,
    "core/csv_reading/table_place.py": READING,
    "core/requests/messages.py": (*REQUESTS, "tests/end_to_end/test_replay_and_reconcile.py"),
    "core/requests/names.py": (*REQUESTS, "tests/folder/test_output_folder.py"),
    "core/requests/local_files.py": (
        *REQUESTS,
        "tests/folder/test_output_folder.py",
        "tests/core/engines/test_costs.py",
        "tests/end_to_end/test_watch.py",
    ),
    "core/requests/uris.py": (*REQUESTS, "tests/core/test_forecast_spec.py"),
    "core/outputs/receipts.py": BOOKS,
    "core/outputs/outcomes.py": BOOKS,
    "core/outputs/summary.py": BOOKS,
    "core/outputs/tables.py": (*BOOKS, "tests/core/model/test_components.py"),
    "core/outputs/forecast_csv.py": (
        "tests/core/csv_reading/test_csv_dialect.py",
        "tests/core/engines/test_forecast_batch.py",
        "tests/core/dates/test_timezones.py",
        "tests/core/model/test_components.py",
        "tests/report/test_report.py",
    ),
    "core/outputs/problem_note.py": BOOKS,
    "core/series/duplicates.py": SERIES[:-1],
    "core/series/batch.py": SERIES,
    "core/series/layout.py": (
        *SERIES[:-1],
        "tests/core/csv_reading/test_csv_dialect.py",
        "tests/transforms/test_coders.py",
    ),
    "core/faults/alone.py": FAULTS,
    "core/faults/internal_error.py": FAULTS,
    "core/faults/isolation.py": FAULTS,
    "core/faults/narrowing.py": FAULTS,
    "core/spec_limits.py": (
        "tests/core/test_forecast_spec.py",
        "tests/core/engines/test_costs.py",
        CASES,
        "tests/core/series/test_load_series.py",
    ),
    "core/elements.py": ("tests/core/requests/test_messages.py", *BOOKS),
    "core/request_key.py": (
        "tests/core/test_forecast_spec.py",
        "tests/core/requests/test_messages.py",
        "tests/folder/test_output_folder.py",
    ),
    "core/plain_text.py": ("tests/core/test_foreign_text.py", "tests/folder/test_output_folder.py"),
    "folder/receipts.py": BOOKS,
    "folder/dead_letters.py": BOOKS,
    "folder/lookout.py": (
        "tests/folder/test_inbox.py",
        "tests/core/requests/test_requests.py",
        "tests/core/requests/test_sources.py",
        "tests/end_to_end/test_watch.py",
    ),
    "folder/inbox.py": (
        "tests/folder/test_inbox.py",
        "tests/core/requests/test_sources.py",
        "tests/folder/test_output_folder.py",
        "tests/end_to_end/test_watch.py",
    ),
}
# They take long, and what they would notice the others do.
LEFT_OUT = (
    "tests/core/faults/test_narrowing.py::test_each_row_that_raises_is_blamed_and_no_other",
    "tests/core/faults/test_isolation.py::test_a_child_has_its_time",
    "tests/library/test_library.py::test_backtests_and_fits_need_no_rows_after_the_end",
)
