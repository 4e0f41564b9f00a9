"""Sources in BigQuery: bigquery:PROJECT.DATASET.TABLE, and .sql files with queries. Their names, and no clients."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pipeline.core.errors import RecordError, shorten
from pipeline.core.requests.names import QUERY_SUFFIX

SCHEME = "bigquery:"
_PROJECT, _NAME = r"[a-z][a-z0-9-]{4,28}[a-z0-9]", r"\w{1,1024}"
_TABLE = re.compile(rf"{SCHEME}({_PROJECT})\.({_NAME})\.([\w -]{{1,1024}})")
_PLACE = re.compile(rf"{SCHEME}{_PROJECT}\.{_NAME}(\.[\w -]{{1,1024}})?")


@dataclass(frozen=True, order=True)
class Table:
    """A table of BigQuery."""

    project: str
    dataset: str
    name: str

    @property
    def source(self) -> str:
        """Its name as a source."""
        return f"{SCHEME}{self.project}.{self.dataset}.{self.name}"


def is_table(source: str) -> bool:
    """Return whether a source is a table, or means to be one."""
    return source.startswith(SCHEME)


def is_query(source: str) -> bool:
    """Return whether a source is a query: a file that has one."""
    return source.lower().endswith(QUERY_SUFFIX) and not is_table(source)


def is_place(text: str) -> bool:
    """Return whether a text names a dataset or a table, as --allow does."""
    return bool(_PLACE.fullmatch(text))


def table_named(source: str) -> Table:
    """Return the table that a source names.

    Raises:
        RecordError: BAD_MANIFEST if it names none.
    """
    found = _TABLE.fullmatch(source)
    if found is None:
        raise RecordError(
            "BAD_MANIFEST",
            f"{shorten(source)!r} does not name a table.",
            "Name it as bigquery:PROJECT.DATASET.TABLE.",
            found=source,
        )
    return Table(found[1], found[2], found[3])


def is_allowed(table: Table, allowed: Sequence[str]) -> bool:
    """Return whether a table, or its dataset, is among what is allowed."""
    dataset = f"{SCHEME}{table.project}.{table.dataset}"
    return any(place in (dataset, table.source) for place in allowed)


def milliseconds_of(time: str) -> str:
    """Return an RFC 3339 time as the version of what is read as it was then: milliseconds since 1970, as digits."""
    return str(int(datetime.fromisoformat(time).timestamp() * 1000))


def time_of(version: str) -> datetime:
    """Return the time that a version stands for, in UTC."""
    return datetime.fromtimestamp(int(version) / 1000, UTC)
