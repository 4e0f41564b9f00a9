"""Recognises the format of a column's dates from a sample; refuses ambiguous ones."""

from __future__ import annotations

import math
import re
from datetime import datetime
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.dates.date_style import EPOCHS, FORMS, DateStyle
from pipeline.core.errors import RecordError, shorten

_SLASHED = r"\d{1,2}[/.-]\d{1,2}[/.-](\d{4}|\d{2})"
# A column of plain numbers counts as dates only if its name says so.
_FORMS_BY_CONTENT = ("date", "datetime", "offset", "slashes", "month", "month_number", "quarter", "week")
_YEAR_NAMES = re.compile(r"year|jahr|\byrs?\b|ann[eé]e|a[nñ]o\b|anno|\bjaar", re.IGNORECASE)
_RANGE_OF_TIME = re.compile(r"[T ](\d{1,2})(?::(\d{2}))?(?::\d{2})? ?[-–] ?(\d{1,2})(?::(\d{2}))?(?::\d{2})?$")
_YEAR_AND_NUMBER = re.compile(r"[12]\d{3}[-/]?\d{2}")
FIRST_YEAR, LAST_YEAR = 1600, 2200  # of dates that are recognised by their digits alone
_WEEK_NAMES = re.compile(r"week|woche|semaine|semana|(\b|_)[ck]w(\b|_)", re.IGNORECASE)
SHARE_OF_DATES = 0.9  # of the cells of a date column; a few may be totals and the like
_MONTH = (
    r"(january|february|march|april|may|june|july|august|september|october|november|december"
    r"|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)\.?"
)
_FOREIGN = re.compile(
    _SLASHED + r"([T ,].*)?|\d{4}[-/.]\d{1,2}[-/.]\d{1,2}.*"
    r"|([a-z]{3,9},? )?(\d{1,2}(st|nd|rd|th)?[ ./-]+)?" + _MONTH + r"[ ,./-]+\d{1,4}((,? |[./-])\d{2,4})?([T ,].*)?",
    re.IGNORECASE,
)

_PATTERNS_BY_CONTENT = [*(re.compile(FORMS[form]) for form in _FORMS_BY_CONTENT), _FOREIGN]


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
    """Return the style of dates in a format; the cells decide what the format leaves open."""
    day, _, time = zip(*(cell.partition(" ") for cell in cells), strict=True) if cells else ((), (), ())
    looks = "d" if any(re.search(r"(^|\D)\d(\D|$)", part) for part in day) else ""
    looks += "t" if any(re.match(r"\d(\D|$)", part) for part in time) else ""
    named = [re.sub(r"[^A-Za-z]", "", part) for part in day]
    looks += "u" if any(len(name) > 1 and name.isupper() and name != "T" for name in named) else ""
    return DateStyle("format", format_, 0 if "%z" in format_ else None, looks=looks)


def cells_of_rows(cells: list[str]) -> list[str]:
    """Return cells without the words, such as Total, that a few of them hold instead of a date."""
    numbered = [cell for cell in cells if re.search(r"\d", cell)]
    return numbered if len(numbered) >= SHARE_OF_DATES * len(cells) else cells


def looks_like_dates(sample: list[str], share: float = 1.0) -> bool:
    """Return whether a share of the non-empty cells are dates of one form that is more than a plain number."""
    cells = [*filter(None, map(str.strip, sample))]
    return bool(cells) and any(_are_mostly(cells, pattern, share) for pattern in _PATTERNS_BY_CONTENT)


def _are_mostly(cells: list[str], pattern: re.Pattern[str], share: float) -> bool:
    """Return whether a share of the cells match a pattern, looking at no more of them than that takes."""
    if share == 1.0:
        return all(map(pattern.fullmatch, cells))
    allowed = len(cells) - math.ceil(share * len(cells))
    others = (cell for cell in cells if not pattern.fullmatch(cell))
    return next(islice(others, allowed, None), None) is None


def recognise_dates(sample: list[str], column: str, line: int, stated: str | None) -> DateStyle:
    """Return the style of a column's dates.

    Args:
        sample: cells of the column, some perhaps empty.
        column: its name, for messages.
        line: line of the first cell, for messages.
        stated: `date_format`, which settles it.

    Raises:
        RecordError: BAD_DATE_FORMAT if reading them would take a guess, or none of them is in the stated format.
    """
    cells = [*filter(None, map(str.strip, sample))]
    if stated is not None:
        style = DateStyle(stated, offset_minutes=0) if stated in EPOCHS else _format_style(stated, cells)
        _refuse_another_format(style, stated, cells, column, line)
        return style
    if not cells:
        return DateStyle("date")
    _refuse_ranges_of_time(cells, column, line)
    _refuse_months_that_are_none(cells, column, line)
    array = pa.array(cells)
    for form, pattern in FORMS.items():
        if pc.all(pc.match_substring_regex(array, f"^({pattern})$")).as_py():
            if form == "year" and not _YEAR_NAMES.search(column):
                _refuse_other_numbers(cells, column, line)
            return _detailed_style(form, cells)
    for form, pattern in FORMS.items():
        matching = [cell for cell in cells if re.fullmatch(pattern, cell)]
        # the first cell decides; a later one that differs is an error of its own row
        if not matching or (cells[0] not in matching and len(matching) < 0.9 * len(cells)):
            continue
        if (
            form == "date"
            and len(matching) < len(cells)
            and any(re.fullmatch(FORMS["datetime"], cell) for cell in cells if cell not in matching)
        ):
            continue
        return _detailed_style(form, matching)
    fitting = _fitting_formats(cells_of_rows(cells))
    if len(fitting) == 1 and _has_one_reading(fitting[0]):
        return _format_style(fitting[0], cells)
    raise _foreign_dates(cells, column, line, fitting)


def _refuse_another_format(style: DateStyle, stated: str, cells: list[str], column: str, line: int) -> None:
    """Refuse dates none of which is in the stated format: it is the format that is wrong, not some cells."""
    if not cells or not style.read(pa.array(cells))[1].all():
        return
    raise RecordError(
        "BAD_DATE_FORMAT",
        f"None of the first {len(cells):,} dates is in --date_format={stated}; the first is {shorten(cells[0])!r}.",
        f"Use the format that the dates have{_names_in_english(cells[0])}.",
        line=line,
        column=column,
        found=cells[0],
    )


def bad_date(cell: str, stated: str | None, line: int, column: str) -> RecordError:
    """Return the error for a single cell, which may be empty, among dates that can be read."""
    problem, hint = "The date is missing", "Fix the cell, or remove the row."
    if cell and stated is None:
        problem = f"{shorten(cell)!r} is not a date like the others"
    elif cell:
        problem = f"{shorten(cell)!r} is not a date in --date_format={stated}"
        hint = f"Fix the cell, remove the row, or use another format{_names_in_english(cell)}."
    return RecordError("BAD_DATE", f"{problem}.", hint, line=line, column=column, found=cell)


def _names_in_english(cell: str) -> str:
    """Return the end of a hint for a cell with a name in it, which may be in another language."""
    return "; names of months and days are read in English only" if re.search(r"[^\W\d_]{3}", cell) else ""


def _refuse_ranges_of_time(cells: list[str], column: str, line: int) -> None:
    """Raise if what looks like an offset from UTC is the end of a range of time: 06:00-06:15."""
    if _RANGE_OF_TIME.search(cells[0]) is None:
        return
    found = [_RANGE_OF_TIME.search(cell) for cell in cells]
    if not all(found):
        return
    pairs = {tuple(int(part or 0) for part in match.groups()) for match in found if match}
    lengths = {(60 * (c - a) + d - b) % (24 * 60) for a, b, c, d in pairs}
    if (len(pairs) > 1 and len(lengths) == 1) or any(60 * c + d > 12 * 60 for _, _, c, d in pairs):
        raise RecordError(
            "BAD_DATE_FORMAT",
            f"{shorten(cells[0])!r} seems to be a time range.",
            "Write only its start, such as 2025-01-01 06:00.",
            line=line,
            column=column,
            found=cells[0],
        )


def _refuse_months_that_are_none(cells: list[str], column: str, line: int) -> None:
    """Raise if what looks like a year and a month may be a year and a week, or a season of two years."""
    if not _are_mostly(cells, _YEAR_AND_NUMBER, SHARE_OF_DATES):
        return
    pairs = [(int(cell[:4]), int(cell[-2:])) for cell in cells if _YEAR_AND_NUMBER.fullmatch(cell)]
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
        f"{cure}; if these are months, use --date_format=%Y{mark}%m.",
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
                f"{cells[0]!r} may be a year, or year {cells[0][:2]} and {what[:-1]} {cells[0][2:]}.",
                "If they are years, use --date_format=%Y, or call the column year; if they are "
                + (f"{what}, use {cure}." if cure else f"{what}, write them as 20{cells[0][:2]}-W{cells[0][2:]}."),
                line=line,
                column=column,
                found=cells[0],
            )
    if not all(FIRST_YEAR <= int(cell) <= LAST_YEAR for cell in cells):
        raise RecordError(
            "BAD_DATE_FORMAT",
            f"All cells of the column, such as {cells[0]!r}, look like years, but some are implausible.",
            "If these are years, use --date_format=%Y; otherwise name the date column with --date_column.",
            line=line,
            column=column,
            found=cells[0],
        )


def _detailed_style(form: str, cells: list[str]) -> DateStyle:
    if form in ("quarter", "week"):
        return DateStyle(form, "-" if "-" in cells[0] else "")
    if form in ("month_number", "date"):
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
        hint = f"Use --date_format='{fitting[0]}', which fits the first rows."
    elif fitting:
        problem = f"{shorten(first)!r} can be read in several ways, such as day/month or month/day"
        hint = "Use " + " or ".join(f"--date_format='{format_}'" for format_ in fitting) + "."
    elif re.fullmatch(_COMPACT_TIME, first):
        codes = "%Y%m%d%H" + ("%M" if len(first) > 10 else "") + ("%S" if len(first) > 12 else "")
        assume = {"date_format": codes}
        hint = f"Use --date_format={codes} if these are year, month, day and time."
    elif re.fullmatch(r"-?\d{9,10}(\.\d+)?|\d(\.\d+)?[eE]\+?0?9", first):
        hint = "If these are seconds since 1970, use --date_format=epoch_seconds."
    elif re.fullmatch(r"-?\d{12,13}(\.\d+)?|\d(\.\d+)?[eE]\+?12", first):
        hint = "If these are milliseconds since 1970, use --date_format=epoch_milliseconds."
    elif re.fullmatch(r"-?\d{15,16}", first):
        hint = "If these are microseconds since 1970, use --date_format=epoch_microseconds."
    elif re.fullmatch(r"-?\d{18,19}", first):
        hint = "If these are nanoseconds since 1970, use --date_format=epoch_nanoseconds."
    elif re.fullmatch(r"[34]\d{4}(\.\d+)?", first):
        hint = "This looks like a spreadsheet's day number: format the column as a date there, and save again."
    else:
        hint = (
            "Write dates as 2015-04-30 or 2015-04-30 12:00:00, or use --date_format with strptime codes"
            f"{_names_in_english(first)}."
        )
    return RecordError("BAD_DATE_FORMAT", problem + ".", hint, line=line, column=column, found=first, assume=assume)


_COMPACT_TIME = r"(19|20)\d{2}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])([01]\d|2[0-3])([0-5]\d){0,2}"
_DAY_CODES = [
    *(codes.replace("/", mark)
      for mark in "/.-" for codes in ("%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d/%m/%y", "%m/%d/%y", "%y/%m/%d")),
    *(f"{day}{month}{mark}{year}" for month in ("%b", "%B") for year in ("%Y", "%y")
      for mark, day in ((" ", "%d "), ("-", "%d-"), (" ", ""), ("-", ""))),
    "%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%B %d %Y", "%a %b %d %Y",
    "%A, %B %d, %Y", "%d. %B %Y", "%Y%m", "%y%m%d", "%d%m%y", "%m%d%y",
    "%d%m%Y", "%m%d%Y", "%Y-%b", "%Y %b", "%y-%b", "%Y-%j", "%Y%j", "%m/%Y", "%Y/%m", "%Y%m%d",
]  # fmt: skip
_DIGITS_OF = {"%Y%m": 6, "%Y%j": 7, "%d%m%Y": 8, "%m%d%Y": 8, "%y%m%d": 6, "%d%m%y": 6, "%m%d%y": 6}
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
            if not _may_be_written(str(rest), time):
                continue
            dates, bad, _ = DateStyle("format", format_).read(text)
            years = dates.astype("datetime64[us]").astype("datetime64[Y]").astype(np.int64) + 1970
            digits = _DIGITS_OF.get(day)
            fits = digits is None or all(len(cell) == digits for cell in cells)
            if fits and not bad.any() and years.min() >= FIRST_YEAR and years.max() <= LAST_YEAR:
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
    """Return whether a time in this format may look like this; cheaper than trying, which compiles the format."""
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
