"""Errors of a record itself, each with a stable code that its owner can look up.

A server's error is never a RecordError: it propagates unchanged, so that the runner retries.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

LONGEST_MESSAGE, LONGEST_NAME = 2000, 200  # characters


@dataclass(frozen=True)
class Code:
    """The meaning of a dead letter's code.

    Attributes:
        meaning: one sentence for docs/error-codes.md.
        replayable: True if the same request may succeed later without a change to its CSV.
    """

    meaning: str
    replayable: bool = False


CODES: dict[str, Code] = {
    # a message
    "BAD_MESSAGE": Code("The message is neither a Cloud Storage notification nor a manifest."),
    # the file as a whole
    "SOURCE_GONE": Code("The file did not exist when Dropcast tried to read it.", replayable=True),
    "SOURCE_CHANGED": Code("The file changed while it was read.", replayable=True),
    "SOURCE_IS_DIRECTORY": Code("The path names a folder, not a file."),
    "SOURCE_NOT_A_FILE": Code("The path names a pipe, a socket or a device, not a file."),
    "SOURCE_FORBIDDEN": Code("The user who runs the pipeline is not allowed to read the file.", replayable=True),
    "SOURCE_UNREADABLE": Code("Cloud Storage refused to return the object.", replayable=True),
    "BAD_MANIFEST": Code("The manifest is not valid JSON, or one of its fields is unknown or out of range."),
    "BAD_QUERY": Code(
        "The query is not one SELECT of tables that the operator has allowed, or BigQuery refuses it.", replayable=True
    ),
    "PATH_NOT_ALLOWED": Code("The manifest names a path that the operator has not allowed.", replayable=True),
    "EMPTY_FILE": Code("The file has no content."),
    "NO_ROWS": Code("The file has a header but no rows below it."),
    "NO_HEADER": Code("The first line looks like data, not like column names."),
    "NOT_TEXT": Code("The file is not a CSV: it has NUL bytes or is another kind of file (Excel, PDF, ...)."),
    "BAD_PARQUET": Code("The Parquet file is damaged, cut short or encrypted."),
    "BAD_ARROW": Code("The Arrow stream of a request is damaged, cut short or compressed."),
    "BAD_JSON": Code("The JSON of a request is neither records nor columns, or has values that are no cells."),
    "BAD_ENCODING": Code("The bytes are not text in the stated encoding."),
    "BAD_GZIP": Code("The gzip stream is damaged or cut short."),
    "LINE_TOO_LONG": Code("A line is longer than any row of a table should be."),
    "UNCLOSED_QUOTE": Code("A quote is opened and never closed."),
    "RAGGED_ROW": Code("A row has more or fewer cells than the header."),
    "AMBIGUOUS_DELIMITER": Code("Two delimiters fit the header equally well."),
    "DUPLICATE_COLUMN": Code("Two columns have the same name."),
    "UNKNOWN_COLUMN": Code("A column that an option names is not in the file."),
    "RESERVED_COLUMN": Code("An id column has the name of one of the forecast's own columns."),
    "NO_DATE_COLUMN": Code("No column could be recognised as the date."),
    "AMBIGUOUS_DATE_COLUMN": Code("More than one column could be the date."),
    "NO_VALUE_COLUMN": Code("No column could be recognised as the value."),
    "AMBIGUOUS_VALUE_COLUMN": Code("More than one column could be the value."),
    "AMBIGUOUS_ID_COLUMN": Code("A text column may tell series apart, or may just be a comment."),
    "BAD_DATE_FORMAT": Code("The date format cannot be determined without guessing."),
    "AMBIGUOUS_NUMBER": Code(
        "All numbers of a column can be read in two ways, such as 1.234: a fraction, or more than a thousand."
    ),
    "OUTPUT_TAKEN": Code("The forecast would overwrite a file that is not its earlier version."),
    "TOO_MANY_BYTES": Code("The file, decompressed, is larger than --max_bytes."),
    "TOO_MANY_SERIES": Code("The file has more series than --max_series."),
    "TOO_MANY_FEATURES": Code("The options give the model more columns than --max_features."),
    "TOO_MANY_LEVELS": Code("The options ask for more levels than --max_levels."),
    "FORECAST_TOO_LARGE": Code(
        "The forecast would have more numbers per series than --max_outputs, or more rows than --max_forecast_rows."
    ),
    "ID_TOO_LONG": Code("An id has more characters than --max_id_length."),
    "NOTHING_FORECAST": Code("None of the file's series could be forecast; each has its own dead letter."),
    # one series
    "BAD_DATE": Code("A cell of the date column is empty or is not a date."),
    "BAD_NUMBER": Code("A cell is not a number."),
    "NOT_FINITE": Code("A cell is infinite."),
    "DUPLICATE_DATE": Code("A date occurs twice in one series, with different values."),
    "TOO_FEW_ROWS": Code("A series has fewer than two values."),
    "TOO_MANY_ROWS": Code("A series has more rows than --max_rows."),
    "ALL_MISSING": Code("A series has no value at all."),
    "FREQUENCY_UNCLEAR": Code("The dates do not show at what frequency they continue."),
    "DATE_OUT_OF_RANGE": Code("A date, or a date to forecast, is outside the range that the engine can handle."),
    "REGRESSOR_MISSING": Code("A regressor, cap or floor has no value on a date of the history or of the forecast."),
    "BAD_CAPACITY": Code("The cap is not above the floor."),
    "BAD_CHANGEPOINTS": Code("The given changepoints are not within the history."),
    "ROW_REFUSED": Code("BigQuery refused rows of the series' forecast."),
    "BAD_MODEL": Code("A model given with --models is missing, or cannot be used."),
    "FIT_TIMEOUT": Code("The fit took longer than --max_fit_seconds.", replayable=True),
    "FIT_FAILED": Code("The engine could not fit the series, or returned numbers that are not finite."),
    # a file or a series, through no fault of its owner
    "INTERNAL_ERROR": Code(
        "Dropcast failed with an internal error; the error id leads to the traceback in the log.", replayable=True
    ),
    "TOO_SLOW": Code(
        "The file takes longer than the service has for one push; the pipeline has no such limit.", replayable=True
    ),
    "TOO_LARGE": Code(
        "The file is larger than the service takes in one push; the pipeline has no such limit.", replayable=True
    ),
    "CRASHED": Code(
        "The process that did the work died on all three attempts: a crash, or too little memory.", replayable=True
    ),
}


class SupersededError(Exception):
    """A newer version of the source has taken its place: there is nothing to do, and nothing is wrong."""


class IgnoredError(Exception):
    """The message is irrelevant here, though nothing is wrong with it; the text says why, in one word."""


class NobodyWaitsError(Exception):
    """Whoever asked for the work has gone: there is no point in going on with it."""


class DoneError(Exception):
    """The request has a receipt that says it is done: there is nothing left to do."""


class RecordError(Exception):
    """An error of the record itself: it becomes a dead letter, and is never retried unchanged.

    Args:
        code: a key of CODES.
        message: what is wrong, for the owner of the file; without the position, which is added.
        hint: what to do next.
        line: line in the file, from 1.
        column: name of the column.
        found: the offending text.
        assume: values to assume for options, by name, so that reading can go on and one error can report everything
            the file needs; None if nothing can be assumed.
    """

    def __init__(
        self,
        code: str,
        message: str,
        hint: str,
        *,
        line: int | None = None,
        column: str | None = None,
        found: str | None = None,
        assume: dict[str, Any] | None = None,
    ) -> None:
        if code not in CODES:
            raise KeyError(f"{code} is not in errors.CODES")
        self.code = code
        # it quotes text of any length from the file
        self.message = bounded(message, LONGEST_MESSAGE)
        self.hint = bounded(hint, LONGEST_MESSAGE)
        self.line = line
        self.column = None if column is None else bounded(column, LONGEST_NAME)
        self.found = None if found is None else shorten(found)
        self.assume = assume
        super().__init__(code, message, hint, line, column, found)

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (self.to_json(),)

    def __str__(self) -> str:
        return f"{self.place()}{self.message}"

    def place(self) -> str:
        """Return the position as a prefix of the message; empty if there is none."""
        parts = []
        if self.line is not None:
            parts.append(f"line {self.line}")
        if self.column is not None:
            parts.append(f"column {self.column!r}")
        return ", ".join(parts) + ": " if parts else ""

    def to_json(self) -> str:
        """Return the fault as JSON, as it travels with a series."""
        names = ("code", "message", "hint", "line", "column", "found")
        return json.dumps({name: getattr(self, name) for name in names})

    @classmethod
    def from_json(cls, text: str) -> RecordError:
        """Return what `to_json` wrote."""
        return cls(**json.loads(text))


def joined(questions: Sequence[RecordError]) -> RecordError:
    """Return one error that combines the questions of several, with the code and position of the first."""
    first, *others = questions
    messages = [first.message, *(str(other) for other in others)]
    hints = [question.hint for question in questions]
    return RecordError(
        first.code, " ".join(messages), " ".join(hints), line=first.line, column=first.column, found=first.found
    )


def _unpickled(text: str) -> RecordError:
    return RecordError.from_json(text)


def bounded(text: str, limit: int) -> str:
    """Return `text`, or only its two ends if it has more than `limit` characters."""
    half = (limit - 5) // 2
    return text if len(text) <= limit else f"{text[:half]} ... {text[-half:]}"


def shorten(text: str, limit: int = 60) -> str:
    """Return `text` on one line and at most `limit` characters long, for a message."""
    line = text.encode("unicode_escape").decode("ascii") if not text.isprintable() else text
    return line if len(line) <= limit else line[: limit - 1] + "…"
