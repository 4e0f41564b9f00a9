"""Structured logs: one JSON object per line, with Cloud Logging's field names."""

from __future__ import annotations

import json
import logging
import sys

from pipeline.core.plain_text import printable

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Formats a record with its severity, message, logger and `extra` fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        fields = {"severity": record.levelname, "message": record.getMessage(), "logger": record.name}
        fields |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=str)


class PlainFormatter(logging.Formatter):
    """Formats a record for a person: in one line, without a traceback, which is stored elsewhere."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        return printable(f"{record.levelname} {record.getMessage()}")


def set_up_for_command() -> None:
    """Send warnings to standard error in plain words."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PlainFormatter())
    logging.getLogger("pipeline").handlers = [handler]
    logging.getLogger("pipeline").propagate = False


def set_up() -> None:
    """Send this project's logs, and everyone's warnings, to standard error.

    As JSON for machines; on a terminal as plain text, and only warnings, because a summary follows.
    """
    terminal = sys.stderr.isatty()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PlainFormatter() if terminal else JsonFormatter())
    # Beam says on import that Google's clients are not installed; nothing here needs them.
    handler.addFilter(lambda record: "apitools not found" not in record.getMessage())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    ours = logging.getLogger("pipeline")
    ours.handlers, ours.propagate = [], True  # as they were before set_up_for_command
    ours.setLevel(logging.WARNING if terminal else logging.INFO)
