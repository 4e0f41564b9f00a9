"""What a request's body holds: a file, or a table, and perhaps options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO, Any

import pyarrow as pa

from pipeline.core.errors import RecordError
from pipeline.core.strict_json import read_json
from pipeline.core.table_reading.arrow_stream import FILE_MAGIC, table_of_arrow
from pipeline.core.table_reading.json_rows import is_columns, json_of, table_of_json

CSV, JSON, PARQUET = "text/csv", "application/json", "application/vnd.apache.parquet"
ARROW, ARROW_FILE = "application/vnd.apache.arrow.stream", "application/vnd.apache.arrow.file"
HTML = "text/html"
JSON_SHARE = 4  # how many times larger than JSON other bodies may be, since it takes that much more memory
_ARROW_START = b"\xff\xff\xff\xff"  # of a stream's first message


@dataclass(frozen=True)
class Content:
    """What was sent.

    Attributes:
        data: a CSV or Parquet file at its beginning, or a table.
        options: as JSON has them, by name.
        as_columns: whether it was JSON with columns by name.
    """

    data: IO[bytes] | pa.Table
    options: Mapping[str, Any] = field(default_factory=dict)
    as_columns: bool = False


def content_of(media_type: str, body: IO[bytes], size: int, most_bytes: int) -> Content:
    """Return what a body holds.

    CSV and Parquet are told apart by their first bytes, whatever the media type, and so are Arrow's two formats.

    Args:
        media_type: as stated, without parameters.
        body: the bytes, at their beginning.
        size: how many.
        most_bytes: that a body may have; JSON fewer.

    Raises:
        RecordError: if it is JSON or Arrow that cannot be read, or too much JSON.
    """
    start = body.read(len(FILE_MAGIC))
    body.seek(0)
    if media_type in (ARROW, ARROW_FILE) or start == FILE_MAGIC or start.startswith(_ARROW_START):
        return Content(table_of_arrow(body.read()))
    if media_type != JSON and not media_type.endswith("+json"):
        return Content(body)
    if size > most_bytes // JSON_SHARE:
        raise RecordError(
            "TOO_MANY_BYTES", f"The JSON has {size:,} bytes; at most {most_bytes // JSON_SHARE:,} are taken.",
            "Send a CSV, a Parquet file or an Arrow stream, which may be larger.",
        )  # fmt: skip
    found = json_of(body.read())
    options: Any = {}
    if isinstance(found, dict) and "data" in found and found.keys() <= {"data", "options"}:
        found, options = found["data"], found.get("options", {})
    return Content(table_of_json(found, size), options_of(options), is_columns(found))


def options_of(stated: Any) -> dict[str, Any]:
    """Return options that were sent as JSON.

    Raises:
        RecordError: BAD_MANIFEST if they are no object.
    """
    if isinstance(stated, bytes | str):
        try:
            stated = read_json(stated.encode(errors="surrogatepass") if isinstance(stated, str) else stated)
        except ValueError:
            stated = None
    if not isinstance(stated, dict):
        raise RecordError("BAD_MANIFEST", "The options are not a JSON object.", 'Write them as {"horizon": 14}.')
    return stated
