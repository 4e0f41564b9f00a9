from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.dates.calendars import DAY, SECOND
from pipeline.core.dates.date_style import DateStyle, OffsetsSeen
from pipeline.core.dates.recognise_dates import recognise_dates
from pipeline.core.errors import RecordError

YEARS = (np.datetime64("1700-01-01", "s").astype(int), np.datetime64("2300-01-01", "s").astype(int))
DATES = st.lists(st.integers(*(int(y) for y in YEARS)), min_size=1, max_size=20)
WHOLE_DAYS = ("date", "slashes", "compact")


@settings(max_examples=150, deadline=None)
@given(seconds=DATES, form=st.sampled_from([*WHOLE_DAYS, "datetime", "offset", "epoch_seconds", "format"]))
def test_what_a_style_writes_it_reads_back(seconds: list[int], form: str) -> None:
    dates = np.asarray(seconds, dtype=np.int64) * SECOND
    if form in WHOLE_DAYS:
        dates = dates // DAY * DAY
    style = DateStyle(form, "%d.%m.%Y %H:%M:%S" if form == "format" else "", 120 if form == "offset" else None)
    read, bad, minutes = style.read(style.write(dates))
    assert not bad.any()
    np.testing.assert_array_equal(read, style.to_utc(dates) if form == "offset" else dates)
    assert set(() if minutes is None else minutes.tolist()) == ({120} if form == "offset" else set())


@settings(max_examples=150, deadline=None)
@given(seconds=DATES, form=st.sampled_from(["date", "slashes", "compact", "datetime", "offset"]))
def test_a_written_style_is_recognised(seconds: list[int], form: str) -> None:
    dates = np.asarray(seconds, dtype=np.int64) * SECOND
    dates = dates // DAY * DAY if form in WHOLE_DAYS else dates
    text = DateStyle(form, "" if form in WHOLE_DAYS else "T", -330 if form == "offset" else None).write(dates)
    recognised = recognise_dates(text.to_pylist(), "ds", 2, None)
    assert recognised.with_offsets(OffsetsSeen({-330}, -330)).write(dates).to_pylist() == text.to_pylist()
    assert DateStyle.from_text(recognised.to_text()) == recognised


def test_a_style_survives_its_text_whatever_its_format() -> None:
    style = DateStyle("format", "%d|%m|%Y \\x7c", None, 3, False)
    assert DateStyle.from_text(style.to_text()) == style


@given(seconds=DATES, minutes=st.sampled_from([-330, 0, 120]))
def test_a_clock_is_as_far_from_utc_as_its_offset_says(seconds: list[int], minutes: int) -> None:
    wall = np.asarray(seconds, dtype=np.int64) * SECOND
    style = DateStyle("offset", "T", minutes)
    assert (style.to_utc(wall) + minutes * 60 * SECOND).tolist() == wall.tolist()
    assert style.from_utc(style.to_utc(wall)).tolist() == wall.tolist()


def test_the_first_cell_decides_and_a_later_one_that_differs_is_bad() -> None:
    style = recognise_dates(["2024-01-01", "02/01/2024"], "ds", 2, None)
    _, bad, _ = style.read(pa.array(["2024-01-01", "02/01/2024", "2024-02-30", ""]))
    assert bad.tolist() == [False, True, True, True]


def test_days_before_and_after_midnight_in_a_column_are_one_style() -> None:
    style = recognise_dates(["2024-01-01", "2024-01-01 06:00:00"], "ds", 2, None)
    _, bad, _ = style.read(pa.array(["2024-01-01", "2024-01-01 06:00:00", "2024-01-01 06:00"]))
    assert not bad.any()


def test_an_offset_of_more_than_a_day_is_no_date() -> None:
    style = recognise_dates(["2024-01-01T00:00:00+01:00"], "ds", 2, None)
    _, bad, _ = style.read(pa.array(["2024-01-01T00:00:00+25:00"]))
    assert bad.tolist() == [True]


@pytest.mark.parametrize("stated", ["%Q", "%d/%m/%Y %"])
def test_a_format_that_cannot_be_used_is_the_owners_fault(stated: str) -> None:
    with pytest.raises(RecordError) as refusal:
        recognise_dates([], "ds", 2, stated).read(pa.array(["01/02/2024"]))
    assert refusal.value.code == "BAD_DATE_FORMAT"
