"""How the dates of a CSV are written: reads them in bulk, and writes them back in the same form.

Wall-clock times are int64 microseconds since 1970; a single UTC offset is kept separately.
"""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass, field, replace
from datetime import timedelta, timezone
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.dates.calendars import DAY, MINUTE, SECOND, Dates
from pipeline.core.dates.timezones import offset_minutes, utc_of_wall, wall_of_utc, without_marks, zone_named
from pipeline.core.errors import RecordError

Mask = npt.NDArray[np.bool_]

_TIME = r"[T ]\d{2}(:\d{2}(:\d{2}([.,]\d{1,9})?)?)?"
OFFSET = r" ?(Z|z|UTC|[+-]\d{2}(:?\d{2})?)"
# Unambiguous forms.
FORMS = {
    "date": r"\d{4}-\d{2}-\d{2}",
    "datetime": r"\d{4}-\d{2}-\d{2}(" + _TIME + ")?",
    "offset": r"\d{4}-\d{2}-\d{2}" + _TIME + OFFSET,
    "slashes": r"\d{4}/\d{2}/\d{2}(" + _TIME + ")?",
    "compact": r"[12]\d{3}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])",
    "month": r"\d{4}-(0[1-9]|1[0-2])",
    "month_number": r"[12]\d{3}M(0[1-9]|1[0-2])",
    "quarter": r"[12]\d{3}-?Q[1-4]",
    "week": r"[12]\d{3}-?W(0[1-9]|[1-4]\d|5[0-3])",
    "year": r"[12]\d{3}",
}
# What a date may look like among others: a column's type has dates at midnight, too, and what is accepted must not
# depend on whether the cells around it are read as typed.
_READ_FORMS = {**FORMS, "date": FORMS["date"] + r"([T ]00(:00(:00(\.0{1,9})?)?)?)?"}
EPOCHS = {"epoch_seconds": 1_000_000, "epoch_milliseconds": 1000, "epoch_microseconds": 1, "epoch_nanoseconds": 0.001}
MAX_CLOCK_CHANGE_MINUTES = 120  # between summer and winter


@dataclass
class OffsetsSeen:
    """The offsets from UTC that a file's dates have.

    Attributes:
        minutes: all of them, in minutes east of UTC.
        last: that of the latest date.
        clocks: times of day on the wall clock, two of them if there are more.
        latest: the latest date, in UTC.
    """

    minutes: set[int] = field(default_factory=set)
    last: int = 0
    clocks: set[int] = field(default_factory=set)
    latest: int = -(1 << 62)

    def add(self, utc: Dates, minutes: Dates) -> None:
        """Take in dates in UTC and their offsets, both of shape (n,)."""
        if not len(utc):
            return
        self.minutes |= set(np.unique(minutes).tolist())
        latest = int(utc.max())
        # of several with one latest date, the same one wherever a file is cut
        self._note_last(latest, int(minutes[utc == latest].max()))
        if len(self.clocks) < 2:
            self.clocks |= set(np.unique((utc + minutes * MINUTE) % DAY)[:2].tolist())

    def take_in(self, others: OffsetsSeen) -> None:
        """Add those of another part of the file."""
        self.minutes |= others.minutes
        self.clocks |= others.clocks
        if others.minutes:
            self._note_last(others.latest, others.last)

    def _note_last(self, latest: int, minutes: int) -> None:
        if (latest, minutes) > (self.latest, self.last):
            self.latest, self.last = latest, minutes

    @property
    def are_days(self) -> bool:
        """Whether several offsets are those of one time zone, in summer and winter, always at the same local time."""
        spread = max(self.minutes, default=0) - min(self.minutes, default=0)
        return len(self.minutes) > 1 and len(self.clocks) == 1 and spread <= MAX_CLOCK_CHANGE_MINUTES


@dataclass(frozen=True)
class DateStyle:
    """How dates are written.

    Attributes:
        form: a key of FORMS or EPOCHS, or "format".
        format: strptime codes, for the form "format"; "T" or " " for forms with a time; "-" between year and quarter.
        offset_minutes: minutes east of UTC that every date has; None if dates are naive.
        fraction: digits of a second that are written.
        seconds: whether seconds are written.
        timezone: the zone on whose clock the series is forecast; "" for that of the dates themselves.
        on_wall: whether dates with several offsets were read as local time: whole days, whatever their
            length. They are written in UTC, using the offset of the last one.
        offset_form: how an offset is written, by the text for UTC: Z, " UTC", +00:00, +0000 or +00.
        looks: details that a "format" does not fix: d if days and months have no leading zero, t if hours have none,
            u if names are in capitals.
    """

    form: str
    format: str = ""
    offset_minutes: int | None = None
    fraction: int = 0
    seconds: bool = True
    timezone: str = ""
    on_wall: bool = False
    offset_form: str = "Z"
    looks: str = ""

    @property
    def has_offsets(self) -> bool:
        """Whether dates are written with their offset from UTC."""
        return self.form == "offset" or (self.form == "format" and self.format.endswith("%z"))

    @property
    def in_utc(self) -> bool:
        """Whether dates are read as UTC; otherwise as the clock shows them."""
        return (self.has_offsets or self.form in EPOCHS) and not self.on_wall

    @property
    def has_days(self) -> bool:
        """Whether the day of the month is written."""
        codes = self.format if self.form == "format" else ""
        return self.form not in WITHOUT_DAYS and (
            not codes or any(code in codes for code in ("%d", "%j", "%x", "%c", "%V"))
        )

    def to_utc(self, dates: Dates) -> Dates:
        """Return wall-clock dates as UTC; naive ones count as UTC unless there is a time zone."""
        if self.timezone:
            return utc_of_wall(dates, zone_named(self.timezone))
        return dates - (self.offset_minutes or 0) * MINUTE

    def from_utc(self, dates: Dates) -> Dates:
        """Return dates in UTC on the wall clock."""
        if self.timezone:
            return wall_of_utc(dates, zone_named(self.timezone))
        return dates + (self.offset_minutes or 0) * MINUTE

    def read(self, text: pa.StringArray) -> tuple[Dates, Mask, Dates | None]:
        """Read cells, shape (n,).

        Returns:
            Dates (n,), 0 where there is none: in UTC if `in_utc`, else on the wall clock; which are not dates, (n,);
            and the offset of each in minutes east of UTC, (n,), or nothing if they have none.
        """
        if self.form == "format":
            dates, bad = self._read_format(text)
            if not self.has_offsets:
                return dates, bad, None
            offsets, bad_offset = _offsets(text)
            offsets = np.where(bad | bad_offset, 0, offsets)
            return dates + offsets * MINUTE * self.on_wall, bad | bad_offset, offsets
        if self.form in EPOCHS:
            unit = EPOCHS[self.form]
            good = np.asarray(pc.match_substring_regex(text, r"^-?\d{1,19}(\.\d+)?([eE]\+?\d{1,2})?$"), dtype=bool)
            ticks = np.asarray(pc.cast(pc.if_else(good, text, "0"), pa.float64()))
            good &= np.abs(ticks) * unit < 1e18
            return np.round(np.where(good, ticks, 0) * unit).astype(np.int64), ~good, None
        if self.form == "week":
            return DateStyle("format", "%G-W%V").read(pc.replace_substring_regex(text, r"^(\d{4})W", r"\1-W"))
        good = np.asarray(pc.match_substring_regex(text, f"^({_READ_FORMS[self.form]})$"), dtype=bool)
        dates, bad = _read_iso(self._to_iso(pc.if_else(good, text, "1970-01-01")))
        minutes: Dates | None = None
        if self.form == "offset":
            minutes, bad_offset = _offsets(pc.if_else(good, text, "1970-01-01 00:00Z"))
            bad = bad | bad_offset
            dates = dates if self.on_wall else dates - minutes * MINUTE
        bad = bad | ~good
        return np.where(bad, 0, dates), bad, minutes

    def with_offsets(self, seen: OffsetsSeen) -> DateStyle:
        """Return this style for a file whose offsets are known: one is kept, several become UTC."""
        if not self.has_offsets or not seen.minutes:
            return self
        alone = len(seen.minutes) == 1 or self.on_wall
        return replace(self, offset_minutes=seen.last if alone else 0)

    def _read_format(self, text: pa.StringArray) -> tuple[Dates, Mask]:
        codes = self.format
        if "%V" in codes and not re.search("%[aAuw]", codes):  # a week is its Monday
            text, codes = pc.binary_join_element_wise(text, "1", "-"), f"{codes}-%u"
        try:
            parsed = pd.to_datetime(
                pd.Series(text.to_pandas(), dtype=object),
                format=codes,
                errors="coerce",
                utc="%z" in self.format,
            )
        except (ValueError, re.error) as error:
            raise RecordError(
                "BAD_DATE_FORMAT",
                f"--date_format={self.format} cannot be used: {error}",
                "Use strptime codes, such as %d/%m/%Y %H:%M.",
            ) from None
        if "%z" in self.format:
            parsed = parsed.dt.tz_localize(None)
        bad = parsed.isna().to_numpy()
        dates = parsed.to_numpy().astype("datetime64[us]").astype(np.int64)
        return np.where(bad, 0, dates), bad

    def _to_iso(self, text: pa.StringArray) -> pa.StringArray:
        if self.form == "slashes":
            return pc.replace_substring(text, "/", "-")
        if self.form == "compact":
            return pc.replace_substring_regex(text, r"^(\d{4})(\d\d)(\d\d)$", r"\1-\2-\3")
        if self.form == "month":
            return pc.if_else(pc.equal(pc.utf8_length(text), 7), pc.binary_join_element_wise(text, "01", "-"), text)
        if self.form == "month_number":
            return pc.replace_substring_regex(text, r"^(\d{4})M(\d\d)$", r"\1-\2-01")
        if self.form == "quarter":
            for quarter, month in _QUARTERS.items():
                text = pc.replace_substring_regex(text, rf"^(\d{{4}})-?Q{quarter}$", rf"\1-{month}-01")
            return text
        if self.form == "year":
            return pc.if_else(pc.equal(pc.utf8_length(text), 4), pc.binary_join_element_wise(text, "01-01", "-"), text)
        if self.form == "offset":
            return pc.replace_substring_regex(text, OFFSET + "$", "")
        return text

    def write(self, dates: Dates) -> pa.StringArray:
        """Return wall-clock dates in this style, shape (n,)."""
        if self.timezone:
            return self._write_in_zone(dates)
        if self.on_wall:
            return replace(self, on_wall=False, offset_minutes=0).write(self.to_utc(dates))
        if self.form in EPOCHS:
            dates = self.to_utc(dates)
        stamps = dates.astype("datetime64[us]")
        if self.form in EPOCHS:
            tick = EPOCHS[self.form]
            whole = pa.array((dates // int(tick) if tick >= 1 else dates * 1000).astype(str))
            if tick <= 1 or not (dates % int(tick)).any():
                return whole
            digits = len(str(int(tick))) - 1
            rest = pa.array(
                [f"{part:0{digits}d}".rstrip("0") or "0" for part in (dates % int(tick)).tolist()], pa.string()
            )
            return pc.binary_join_element_wise(whole, rest, ".")
        months = stamps.astype("datetime64[M]").astype(np.int64)
        if self.form == "month_number" and not _off(stamps, "M"):
            return pa.array([f"{1970 + month // 12}M{month % 12 + 1:02d}" for month in months.tolist()], pa.string())
        if self.form == "quarter" and not _off(stamps, "M") and not (months % 3).any():
            texts = (f"{1970 + month // 12}{self.format}Q{month % 12 // 3 + 1}" for month in months.tolist())
            return pa.array(list(texts), pa.string())
        if self.form == "week" and not _off(stamps, "D") and not ((dates // DAY + 3) % 7).any():
            return pa.array(pd.DatetimeIndex(stamps).strftime(f"%G{self.format}W%V"), pa.string())
        if self.form == "format":
            index = pd.DatetimeIndex(stamps)
            if "%z" in self.format:
                index = index.tz_localize(timezone(timedelta(minutes=self.offset_minutes or 0)))
            return pa.array([self._as_it_looks(text) for text in index.strftime(self.format)], pa.string())
        if self.form == "year" and not _off(stamps, "Y"):
            return pa.array(np.datetime_as_string(stamps, unit="Y"))
        if self.form == "month" and not _off(stamps, "M"):
            return pa.array(np.datetime_as_string(stamps, unit="M"))
        whole_days = self.form in ("date", "slashes", "compact", "week", *WITHOUT_DAYS)
        if whole_days and not (dates % DAY).any() and (not self.format or self.form in ("quarter", "week")):
            text = pa.array(np.datetime_as_string(stamps, unit="D"))
            mark = {"slashes": "/", "compact": ""}.get(self.form, "-")
            return pc.replace_substring(text, "-", mark)
        whole = self.fraction == 0 and not (dates % SECOND).any()
        unit: Literal["s", "m", "us"] = ("s" if self.seconds or (dates % MINUTE).any() else "m") if whole else "us"
        text = pa.array(np.datetime_as_string(stamps, unit=unit))
        if unit == "us" and self.fraction:
            text = pc.utf8_slice_codeunits(text, 0, 20 + self.fraction)
        text = pc.replace_substring(text, "T", self.format or " ")
        if self.form == "slashes":
            text = pc.replace_substring(text, "-", "/")
        if self.form == "offset":
            text = pc.binary_join_element_wise(text, _offset_text(self.offset_minutes or 0, self.offset_form), "")
        return text

    def _as_it_looks(self, text: str) -> str:
        day, blank, time = text.partition(" ")
        if "d" in self.looks:
            day = re.sub(r"(?<!\d)0(\d)(?!\d)", r"\1", day)
        if "t" in self.looks:
            time = re.sub(r"^0(\d)", r"\1", time)
        return day.upper() + blank + time if "u" in self.looks else day + blank + time

    def _write_in_zone(self, dates: Dates) -> pa.StringArray:
        """Return dates on the clock of the time zone, with the offset that each has if dates are written with one."""
        zone = zone_named(self.timezone)
        utc, shown = utc_of_wall(dates, zone), without_marks(dates, zone)
        if self.form in EPOCHS:
            return replace(self, timezone="").write(utc)
        if not self.has_offsets:
            return replace(self, timezone="").write(shown)
        written = np.empty(len(dates), dtype=object)
        minutes = offset_minutes(utc, zone)
        for offset in np.unique(minutes).tolist():
            style = replace(self, timezone="", offset_minutes=offset)
            written[minutes == offset] = style.write(shown[minutes == offset]).to_pylist()
        return pa.array(written, pa.string())

    def to_text(self) -> str:
        """Return this style as JSON, for the layout that travels with a block."""
        return json.dumps(dataclasses.astuple(self))

    @classmethod
    def from_text(cls, text: str) -> DateStyle:
        """Return what `to_text` wrote."""
        return cls(*json.loads(text))


WITHOUT_DAYS = ("month", "month_number", "quarter", "year")  # forms in which the day is not written
_QUARTERS = {1: "01", 2: "04", 3: "07", 4: "10"}


def _off(stamps: npt.NDArray[np.datetime64], unit: str) -> bool:
    return bool((stamps.astype(f"datetime64[{unit}]").astype(stamps.dtype) != stamps).any())


def _offset_text(minutes: int, form: str) -> str:
    if form in ("Z", " UTC"):  # what is not UTC has an offset by ISO 8601
        if minutes == 0:
            return form
        form = "+00:00"
    hours, rest = divmod(abs(minutes), 60)
    sign = "-" if minutes < 0 else "+"
    if form == "+00" and rest == 0:
        return f"{sign}{hours:02d}"
    return f"{sign}{hours:02d}{'' if form == '+0000' else ':'}{rest:02d}"


def _read_iso(text: pa.StringArray) -> tuple[Dates, Mask]:
    """Read ISO dates without offset, all of the right form, some perhaps invalid (2015-02-30)."""
    text = pc.replace_substring(text, ",", ".")
    text = pc.replace_substring_regex(text, r"(\.\d{6})\d+$", r"\1")  # microseconds are all we keep
    try:
        return np.asarray(pc.cast(text, pa.timestamp("us")).cast(pa.int64())), np.zeros(len(text), bool)
    except pa.ArrowInvalid:
        parsed = pd.to_datetime(pd.Series(text.to_pandas(), dtype=object), format="ISO8601", errors="coerce")
        bad = parsed.isna().to_numpy()
        dates = parsed.to_numpy().astype("datetime64[us]").astype(np.int64)
        return np.where(bad, 0, dates), bad


def _offsets(text: pa.StringArray) -> tuple[Dates, Mask]:
    """Return minutes east of UTC of dates that end in an offset, and which are out of range."""
    encoded = pc.dictionary_encode(pc.replace_substring_regex(text, r"^.*?(Z|z|UTC|[+-]\d{2}:?(\d{2})?)$", r"\1"))
    minutes = []
    for offset in encoded.dictionary.to_pylist():
        digits = re.sub(r"\D", "", offset)
        size = int(digits[:2] or 0) * 60 + int(digits[2:] or 0)
        minutes.append(-size if offset.startswith("-") else size)
    found = np.asarray(minutes, dtype=np.int64)[np.asarray(encoded.indices)]
    return found, (found < -12 * 60) | (found > 14 * 60) | (found % 15 != 0)
