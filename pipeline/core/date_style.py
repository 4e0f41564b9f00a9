"""How the dates of a CSV are written: recognised from a sample, read in bulk, written back alike.

Wall-clock times are int64 microseconds since 1970; one offset throughout is kept beside them.
"""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.calendars import DAY, MINUTE, SECOND, Dates
from pipeline.core.timezones import offset_minutes, utc_of_wall, wall_of_utc, without_marks, zone_named
from pipeline.errors import RecordError, shorten

Mask = npt.NDArray[np.bool_]

_TIME = r"[T ]\d{2}(:\d{2}(:\d{2}([.,]\d{1,9})?)?)?"
_OFFSET = r" ?(Z|z|UTC|[+-]\d{2}(:?\d{2})?)"
_SLASHED = r"\d{1,2}[/.-]\d{1,2}[/.-](\d{4}|\d{2})"
# Forms that can be read without guessing.
_FORMS = {
    "date": r"\d{4}-\d{2}-\d{2}",
    "datetime": r"\d{4}-\d{2}-\d{2}(" + _TIME + ")?",
    "offset": r"\d{4}-\d{2}-\d{2}" + _TIME + _OFFSET,
    "slashes": r"\d{4}/\d{2}/\d{2}(" + _TIME + ")?",
    "compact": r"[12]\d{3}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])",
    "month": r"\d{4}-(0[1-9]|1[0-2])",
    "month_number": r"[12]\d{3}M(0[1-9]|1[0-2])",
    "quarter": r"[12]\d{3}-?Q[1-4]",
    "week": r"[12]\d{3}-?W(0[1-9]|[1-4]\d|5[0-3])",
    "year": r"[12]\d{3}",
}
# A column of mere numbers is taken for a date only if its name says so.
_FORMS_BY_CONTENT = ("date", "datetime", "offset", "slashes", "month", "month_number", "quarter", "week")
EPOCHS = {"epoch_seconds": 1_000_000, "epoch_milliseconds": 1000, "epoch_microseconds": 1, "epoch_nanoseconds": 0.001}
MAX_CLOCK_CHANGE_MINUTES = 120  # between summer and winter
_YEAR_NAMES = re.compile(r"year|jahr|\byrs?\b|ann[eé]e|a[nñ]o\b|anno|\bjaar", re.IGNORECASE)
_WEEK_NAMES = re.compile(r"week|woche|semaine|semana|(\b|_)[ck]w(\b|_)", re.IGNORECASE)
SHARE_OF_DATES = 0.9  # of the cells of a column that is one of dates; a few may be totals and the like
_MONTH = (
    r"(january|february|march|april|may|june|july|august|september|october|november|december"
    r"|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)\.?"
)
_FOREIGN = re.compile(
    _SLASHED + r"([T ,].*)?|\d{4}[-/.]\d{1,2}[-/.]\d{1,2}.*"
    r"|([a-z]{3,9},? )?(\d{1,2}(st|nd|rd|th)?[ ./-]+)?" + _MONTH + r"[ ,./-]+\d{1,4}((,? |[./-])\d{2,4})?([T ,].*)?",
    re.IGNORECASE,
)


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
        at = int(utc.argmax())
        if utc[at] >= self.latest:
            self.latest, self.last = int(utc[at]), int(minutes[at])
        if len(self.clocks) < 2:
            self.clocks |= set(np.unique((utc + minutes * MINUTE) % DAY)[:2].tolist())

    @property
    def are_days(self) -> bool:
        """Whether several offsets are those of one clock, in summer and in winter, which always shows the same time."""
        spread = max(self.minutes, default=0) - min(self.minutes, default=0)
        return len(self.minutes) > 1 and len(self.clocks) == 1 and spread <= MAX_CLOCK_CHANGE_MINUTES


@dataclass(frozen=True)
class DateStyle:
    """How dates are written.

    Attributes:
        form: a key of _FORMS or EPOCHS, or "format".
        format: strptime codes, for the form "format"; "T" or " " for forms with a time; "-" between year and quarter.
        offset_minutes: minutes east of UTC that every date has; None if dates are naive.
        fraction: digits of a second that are written.
        seconds: whether seconds are written.
        timezone: the zone on whose clock the series is forecast; "" for that of the dates themselves.
        on_wall: whether dates with several offsets were read as the clock showed them: whole days, whatever their
            length. They are written in UTC by the offset of the last one.
        offset_form: how an offset is written, by the text for UTC: Z, " UTC", +00:00, +0000 or +00.
        looks: what else a "format" leaves open: d if days and months have no leading zero, t if hours have none, u if
            names are in capitals.
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
        """Whether dates are read into UTC; else as the clock shows them."""
        return (self.has_offsets or self.form in EPOCHS) and not self.on_wall

    @property
    def has_days(self) -> bool:
        """Whether the day of the month is written."""
        codes = self.format if self.form == "format" else ""
        return self.form not in WITHOUT_DAYS and (
            not codes or any(code in codes for code in ("%d", "%j", "%x", "%c", "%V"))
        )

    def to_utc(self, dates: Dates) -> Dates:
        """Return wall-clock dates as UTC; naive ones are taken for UTC unless there is a time zone."""
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
            Dates (n,), 0 where there is none: in UTC if `in_utc`, else on the wall clock; which cells are none, (n,);
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
        good = np.asarray(pc.match_substring_regex(text, f"^({_FORMS[self.form]})$"), dtype=bool)
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
            return pc.replace_substring_regex(text, _OFFSET + "$", "")
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


def _offset_form(cells: list[str]) -> str:
    """Return how the offset of dates is written, by the text for UTC."""
    last = cells[0]
    if last.endswith(("Z", "z")):
        return "Z"
    if last.endswith("UTC"):
        return " UTC"
    if last[-3] == ":":
        return "+00:00" if last.endswith("00:00") else "Z"
    return "+0000" if re.search(r"[+-]\d{4}$", last) else "+00"


def _format_style(format_: str, cells: list[str]) -> DateStyle:
    """Return the style of dates in a format, with what it leaves open as the cells have it."""
    day, _, time = zip(*(cell.partition(" ") for cell in cells), strict=True) if cells else ((), (), ())
    looks = "d" if any(re.search(r"(^|\D)\d(\D|$)", part) for part in day) else ""
    looks += "t" if any(re.match(r"\d(\D|$)", part) for part in time) else ""
    named = [re.sub(r"[^A-Za-z]", "", part) for part in day]
    looks += "u" if any(len(name) > 1 and name.isupper() and name != "T" for name in named) else ""
    return DateStyle("format", format_, 0 if "%z" in format_ else None, looks=looks)


def _read_iso(text: pa.StringArray) -> tuple[Dates, Mask]:
    """Read ISO dates without offset, all of the right shape, some perhaps no dates (2015-02-30)."""
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
    return found, np.abs(found) > 18 * 60


def cells_of_rows(cells: list[str]) -> list[str]:
    """Return cells without the words, such as Total, that a few of them hold instead of a date."""
    numbered = [cell for cell in cells if re.search(r"\d", cell)]
    return numbered if len(numbered) >= SHARE_OF_DATES * len(cells) else cells


def looks_like_dates(sample: list[str], share: float = 1.0) -> bool:
    """Return whether a share of the non-empty cells are dates of one form that is more than a mere number."""
    cells = [cell.strip() for cell in sample if cell.strip()]
    patterns = [*(re.compile(_FORMS[form]) for form in _FORMS_BY_CONTENT), _FOREIGN]
    return bool(cells) and any(
        sum(bool(pattern.fullmatch(cell)) for cell in cells) >= share * len(cells) for pattern in patterns
    )


def recognise_dates(sample: list[str], column: str, line: int, stated: str | None) -> DateStyle:
    """Return the style of a column's dates.

    Args:
        sample: cells of the column, some perhaps empty.
        column: its name, for messages.
        line: line of the first cell, for messages.
        stated: `date_format`, which settles it.

    Raises:
        RecordError: BAD_DATE_FORMAT if reading them would take a guess.
    """
    if stated is not None:
        if stated in EPOCHS:
            return DateStyle(stated, offset_minutes=0)
        return _format_style(stated, [cell.strip() for cell in sample if cell.strip()])
    cells = [cell.strip() for cell in sample if cell.strip()]
    if not cells:
        return DateStyle("date")
    _refuse_months_that_are_none(cells, column, line)
    array = pa.array(cells)
    for form, pattern in _FORMS.items():
        if pc.all(pc.match_substring_regex(array, f"^({pattern})$")).as_py():
            if form == "year" and not _YEAR_NAMES.search(column):
                _refuse_other_numbers(cells, column, line)
            return _detailed_style(form, cells)
    for form, pattern in _FORMS.items():
        matching = [cell for cell in cells if re.fullmatch(pattern, cell)]
        # the first cell decides; a later one that differs is that row's own fault
        if not matching or (cells[0] not in matching and len(matching) < 0.9 * len(cells)):
            continue
        if (
            form == "date"
            and len(matching) < len(cells)
            and any(re.fullmatch(_FORMS["datetime"], cell) for cell in cells if cell not in matching)
        ):
            continue
        return _detailed_style(form, matching)
    fitting = _fitting_formats(cells_of_rows(cells))
    if len(fitting) == 1 and _has_one_reading(fitting[0]):
        return _format_style(fitting[0], cells)
    raise _foreign_dates(cells, column, line, fitting)


def _refuse_months_that_are_none(cells: list[str], column: str, line: int) -> None:
    """Raise if what looks like a year and a month may be a year and a week, or a season of two years."""
    pairs = [(int(cell[:4]), int(cell[-2:])) for cell in cells if re.fullmatch(r"[12]\d{3}[-/]?\d{2}", cell)]
    if len(pairs) < SHARE_OF_DATES * len(cells):
        return
    first, mark = cells[0], cells[0][4:-2]
    year, second = first[:4], first[-2:]
    if _WEEK_NAMES.search(column) and all(1 <= number <= 53 for _, number in pairs):
        meaning = f"week {second} of {year}"
        cure = f"Write weeks as {year}-W{second}"
    elif mark and len(set(pairs)) > 1 and all(number == (start + 1) % 100 for start, number in pairs):
        meaning = f"the season {year}/{second}"
        cure = f"Write seasons as their first year, {year}"
    else:
        return
    raise RecordError(
        "BAD_DATE_FORMAT",
        f"{shorten(first)!r} may be month {second} of {year}, or {meaning}.",
        f"{cure}; if these are months, give --date_format=%Y{mark}%m.",
        line=line,
        column=column,
        found=first,
        assume={"date_format": f"%Y{mark}%m"},
    )


def _has_one_reading(format_: str) -> bool:
    """Return whether dates in a format can be read without guessing: month by name or year first, the year in full."""
    return "%Y" in format_ and ("%b" in format_ or "%B" in format_ or format_.startswith("%Y-%m-%d"))


def _refuse_other_numbers(cells: list[str], column: str, line: int) -> None:
    """Raise if numbers of four digits may be years, or a year of two digits and a month or week."""
    for last, what, cure in ((12, "months", "--date_format=%y%m"), (53, "weeks", "")):
        if all(1 <= int(cell[2:]) <= last for cell in cells):
            raise RecordError(
                "BAD_DATE_FORMAT",
                f"{cells[0]!r} may be a year, or the year and {what[:-1]} {cells[0][:2]} and {cells[0][2:]}.",
                "If they are years, give --date_format=%Y, or call the column year; if they are "
                + (f"{what}, give {cure}." if cure else f"{what}, write them as 20{cells[0][:2]}-W{cells[0][2:]}."),
                line=line,
                column=column,
                found=cells[0],
            )


def _detailed_style(form: str, cells: list[str]) -> DateStyle:
    if form in ("quarter", "week"):
        return DateStyle(form, "-" if "-" in cells[0] else "")
    if form == "month_number":
        return DateStyle(form)
    separator = next((cell[10] for cell in cells if len(cell) > 10), "")
    separator = "" if form == "date" else separator
    timed = [cell for cell in cells if len(cell) > 10]
    fraction = max((len(m[1]) for cell in timed if (m := re.search(r":\d\d[.,](\d+)", cell))), default=0)
    seconds = any(re.search(r":\d\d:\d\d", cell) for cell in timed) or not timed
    offset = 0 if form == "offset" else None
    offset_form = _offset_form(cells) if form == "offset" else "Z"
    return DateStyle(form, separator, offset, min(fraction, 6), seconds, offset_form=offset_form)


def _foreign_dates(cells: list[str], column: str, line: int, fitting: list[str]) -> RecordError:
    """Return the refusal of dates that would have to be guessed, with the option that settles it."""
    first = cells[0]
    problem = f"{shorten(first)!r} is not an ISO date (2015-04-30)"
    assume = {"date_format": fitting[0]} if fitting else None
    if len(fitting) == 1:
        hint = f"Give --date_format='{fitting[0]}', which fits the first rows."
    elif fitting:
        problem = f"{shorten(first)!r} can be read in several ways, such as day/month or month/day"
        hint = "Give " + " or ".join(f"--date_format='{format_}'" for format_ in fitting) + "."
    elif re.fullmatch(_COMPACT_TIME, first):
        codes = "%Y%m%d%H" + ("%M" if len(first) > 10 else "") + ("%S" if len(first) > 12 else "")
        assume = {"date_format": codes}
        hint = f"Give --date_format={codes}, if these are year, month, day and time."
    elif re.fullmatch(r"-?\d{9,10}(\.\d+)?|\d(\.\d+)?[eE]\+?0?9", first):
        hint = "If these are seconds since 1970, give --date_format=epoch_seconds."
    elif re.fullmatch(r"-?\d{12,13}(\.\d+)?|\d(\.\d+)?[eE]\+?12", first):
        hint = "If these are milliseconds since 1970, give --date_format=epoch_milliseconds."
    elif re.fullmatch(r"-?\d{15,16}", first):
        hint = "If these are microseconds since 1970, give --date_format=epoch_microseconds."
    elif re.fullmatch(r"-?\d{18,19}", first):
        hint = "If these are nanoseconds since 1970, give --date_format=epoch_nanoseconds."
    elif re.fullmatch(r"[34]\d{4}(\.\d+)?", first):
        hint = "This looks like a spreadsheet's day number: format the column as a date there, and save again."
    else:
        hint = "Write dates as 2015-04-30 or 2015-04-30 12:00:00, or give --date_format with strptime codes."
    return RecordError("BAD_DATE_FORMAT", problem + ".", hint, line=line, column=column, found=first, assume=assume)


_COMPACT_TIME = r"(19|20)\d{2}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])([01]\d|2[0-3])([0-5]\d){0,2}"
_DAY_CODES = [
    *(codes.replace("/", mark)
      for mark in "/.-" for codes in ("%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d/%m/%y", "%m/%d/%y")),
    *(f"{day}{month}{mark}{year}" for month in ("%b", "%B") for year in ("%Y", "%y")
      for mark, day in ((" ", "%d "), ("-", "%d-"), (" ", ""), ("-", ""))),
    "%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%B %d %Y", "%a %b %d %Y",
    "%A, %B %d, %Y", "%d. %B %Y", "%Y%m", "%y%m%d", "%d%m%y", "%m%d%y",
    "%d%m%Y", "%m%d%Y", "%Y-%b", "%Y %b", "%y-%b", "%Y-%j", "%Y%j", "%m/%Y", "%Y/%m", "%Y%m%d",
]  # fmt: skip
_CLOCKS = (
    "%H:%M", "%H:%M:%S", "%H:%M:%S.%f", "%H.%M", "%H.%M.%S", "%H", "%I:%M %p", "%I:%M:%S %p",
)  # fmt: skip
_TIME_CODES = [
    "",
    *(f"{mark}{time}{zone}" for mark in (" ", ", ", "T", ":") for time in _CLOCKS for zone in ("", " %z", "%z")),
]


def _fitting_formats(cells: list[str]) -> list[str]:
    """Return the usual formats that read every one of the cells."""
    found: dict[str, str] = {}  # May is a month in full and in short: one of the two is enough
    text = pa.array(cells)
    for day in _DAY_CODES:
        rest = _after_day(cells[0], day)
        for time in _TIME_CODES if rest is not None else ():
            format_ = day + time
            if _may_be_written(str(rest), time) and not DateStyle("format", format_).read(text)[1].any():
                found.setdefault(format_.replace("%B", "%b"), format_)
    return list(found.values())


def _after_day(cell: str, day: str) -> str | None:
    """Return what follows the day in a cell; None if the cell does not begin with a day in this format."""
    try:
        datetime.strptime(cell, day)  # only whether it can be read
    except ValueError as error:
        _, read, rest = str(error).partition("unconverted data remains: ")
        return rest if read else None
    return ""


def _may_be_written(rest: str, time: str) -> bool:
    """Return whether a time in this format may look so: each format that is tried has to be compiled first."""
    mark = time[: time.index("%")] if time else ""
    return (
        rest.startswith(mark)
        and rest[len(mark) : len(mark) + 1].isdigit() == bool(time)
        and bool(re.search(r"\d[:.]\d\d[:.]\d\d", rest)) == ("%S" in time)
        and bool(re.search(r":\d\d\.\d", rest)) == ("%f" in time)
        and bool(re.search(r"^\d?\d\.\d", rest[len(mark) :])) == ("%H." in time)
        and bool(re.search(r"\d[:.]\d", rest)) == ("%M" in time)
        and bool(re.search(r"[ap]m\b", rest, re.IGNORECASE)) == ("%p" in time)
        and bool(re.search(r"[+-]\d\d:?\d\d|z$", rest, re.IGNORECASE)) == ("%z" in time)
    )
