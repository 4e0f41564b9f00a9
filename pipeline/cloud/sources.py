"""What requests between buckets read: objects, tables of BigQuery, and queries in .sql objects."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime

from pipeline.cloud import objects
from pipeline.core.elements import Request
from pipeline.core.errors import RecordError
from pipeline.core.limits import Limits
from pipeline.core.requests.bigquery_queries import MAX_QUERY_BYTES, Query, checked_query
from pipeline.core.requests.bigquery_sources import is_query, is_table, time_of
from pipeline.core.requests.messages import ObjectVersion
from pipeline.core.sources import Source


def live_version(source: str) -> ObjectVersion | None:
    """Return the current version of an object or a table, or None if it does not exist.

    Raises:
        RecordError: why it cannot be read.
    """
    if is_table(source):
        from pipeline.cloud.bigquery_input import live_table

        return live_table(source)
    return objects.live_version(source)


def matching(pattern: str) -> Iterator[ObjectVersion]:
    """Yield the current versions of the objects that match a pattern, or of the table that it names.

    A table that does not exist has no version, as an object of a manifest has none: its request fails.
    """
    if not is_table(pattern):
        yield from objects.matching(pattern)
        return
    live = live_version(pattern)
    if live is None:
        raise RecordError(
            "SOURCE_GONE", f"There is no table {pattern}.", "Check its name, and the permission to see it."
        )
    yield live


def query_of(source: str, version: str, allowed: tuple[str, ...]) -> Query:
    """Return the query of a .sql object as it was at the time of a version.

    Args:
        source: gs://bucket/name.sql.
        version: milliseconds since 1970.
        allowed: datasets and tables that it may read.

    Raises:
        RecordError: SOURCE_GONE, SOURCE_CHANGED, SOURCE_FORBIDDEN or BAD_QUERY.
    """
    live = objects.live_version(source)
    if live is None or not version.isdigit():
        raise RecordError("SOURCE_GONE", "The query does not exist.", "Upload it, and then the manifest again.")
    if datetime.fromisoformat(live.time) > time_of(version):
        raise RecordError(
            "SOURCE_CHANGED",
            "The query was uploaded after the manifest that asks for it.",
            "Upload the manifest again: it asks for the query as it is then.",
        )
    return checked_query(objects.read_version(live, MAX_QUERY_BYTES + 1), allowed)


def open_source(
    request: Request, dataset: str, allowed: tuple[str, ...], limits: Limits
) -> AbstractContextManager[Source]:
    """Open what a request reads.

    Args:
        request: the request.
        dataset: the output's PROJECT.DATASET, whose project is billed for reading BigQuery; "" for the table's own.
        allowed: datasets and tables that queries may read.
        limits: of a file.

    Raises:
        RecordError: why it cannot be read.
        SupersededError: if a newer version has taken its place.
    """
    project = dataset.partition(".")[0]
    if is_table(request.source):
        from pipeline.cloud.bigquery_input import open_table

        return open_table(request.source, request.version, project, limits)
    if is_query(request.source):
        return _open_query(request, project, allowed, limits)
    return objects.open_object(request.source, request.version)


@contextmanager
def _open_query(request: Request, project: str, allowed: tuple[str, ...], limits: Limits) -> Iterator[Source]:
    from pipeline.cloud.bigquery_input import open_query

    query = query_of(request.source, request.version, allowed)
    with open_query(query, request.key, request.version, project, limits) as rows:
        yield rows
