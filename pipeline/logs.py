"""Structured logs: one JSON object a line, in the words that Cloud Logging understands."""

from __future__ import annotations

import json
import logging
import sys

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Formats a record with its severity, message, logger and whatever `extra` brought."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        fields = {"severity": record.levelname, "message": record.getMessage(), "logger": record.name}
        fields |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=str)


def set_up() -> None:
    """Send this project's logs, and everyone's warnings, to standard error.

    As JSON for machines; on a terminal in plain words and only warnings, since a summary follows.
    """
    terminal = sys.stderr.isatty()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s") if terminal else JsonFormatter())
    # Beam says on import that Google's clients are not installed; nothing here needs them.
    handler.addFilter(lambda record: "apitools not found" not in record.getMessage())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("pipeline").setLevel(logging.WARNING if terminal else logging.INFO)
