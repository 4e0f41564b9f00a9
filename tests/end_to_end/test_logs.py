from __future__ import annotations

import json
import logging

from pipeline.logs import JsonFormatter


def test_a_log_line_is_one_json_object_with_what_extra_brought() -> None:
    record = logging.makeLogRecord(
        {"name": "pipeline.x", "levelname": "INFO", "msg": "done %s", "args": ("now",), "series": 3}
    )
    assert json.loads(JsonFormatter().format(record)) == {
        "severity": "INFO", "message": "done now", "logger": "pipeline.x", "series": 3,
    }  # fmt: skip


def test_an_exception_stays_on_one_line() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError as error:
        record = logging.makeLogRecord({"msg": "failed", "exc_info": (type(error), error, error.__traceback__)})
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert "two\nlines" in json.loads(line)["exception"]
