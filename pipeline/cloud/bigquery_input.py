"""Tables and queries of BigQuery as sources: read at one time, sorted, and handed on as a Parquet file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pyarrow as pa
from google.api_core import exceptions
from google.cloud import bigquery
from google.cloud.bigquery_storage_v1 import types

from pipeline.cloud.clients import bigquery_client, bigquery_read_client
from pipeline.cloud.retry import CALL, again, is_transient, retrying
from pipeline.cloud.tables import location_of
from pipeline.core.errors import RecordError, shorten
from pipeline.core.io_faults import does_io, io
from pipeline.core.limits import Limits
from pipeline.core.parquet_reading.sorted_rows import SortedRows, sorted_rows
from pipeline.core.requests.bigquery_queries import Query
from pipeline.core.requests.bigquery_sources import Table, table_named, time_of
from pipeline.core.requests.messages import ObjectVersion
from pipeline.core.scratch import scratch_folder

WITHIN = timedelta(microseconds=999)  # a version is a time cut off to milliseconds; what it means came within that one
SHORTEST_WINDOW = timedelta(days=2)  # of time travel that a dataset can have; within it a time is no ground for refusal
VIEWS = ("VIEW", "MATERIALIZED_VIEW", "EXTERNAL")  # what cannot be read as it was


@does_io()
def live_table(source: str) -> ObjectVersion | None:
    """Return a table as of its last change, or None if there is none.

    Raises:
        RecordError: BAD_MANIFEST, SOURCE_FORBIDDEN or SOURCE_UNREADABLE.
    """
    table = table_named(source)
    found = _described(table, table.project)
    if found is None:
        return None
    if found.table_type in VIEWS:
        raise RecordError(
            "SOURCE_UNREADABLE",
            f"{source} is a view or an external table, whose last change is not known.",
            "Read it with a query: a manifest whose input is a .sql file (docs/bigquery-input.md).",
        )
    modified = found.modified.astimezone(UTC)
    time = modified.isoformat().replace("+00:00", "Z")
    return ObjectVersion(source, str(int(modified.timestamp() * 1000)), time)


def _described(table: Table, project: str) -> bigquery.Table | None:
    try:
        return bigquery_client(project).get_table(
            f"{table.project}.{table.dataset}.{table.name}", retry=retrying(), timeout=CALL
        )
    except exceptions.NotFound:
        return None
    except exceptions.ClientError as error:
        raise _refusal(error) from None


@contextmanager
def open_table(source: str, version: str, project: str, limits: Limits) -> Iterator[SortedRows]:
    """Open a table as it was at the time of a version.

    Args:
        source: bigquery:PROJECT.DATASET.TABLE.
        version: milliseconds since 1970.
        project: whom the reading is billed to; "" for the table's own.
        limits: of a file.

    Raises:
        RecordError: SOURCE_GONE, SOURCE_FORBIDDEN, SOURCE_UNREADABLE, TOO_MANY_BYTES.
    """
    table = table_named(source)
    if not version.isdigit():
        raise _gone()
    session = types.ReadSession(
        table=f"projects/{table.project}/datasets/{table.dataset}/tables/{table.name}",
        data_format=types.DataFormat.ARROW,
        table_modifiers=types.ReadSession.TableModifiers(snapshot_time=time_of(version) + WITHIN),
    )
    with _refused(version), scratch_folder() as scratch:
        rows = _session_rows(session, project or table.project)
        with sorted_rows(rows, lambda: version, limits, scratch) as found:
            yield found


def _session_rows(session: types.ReadSession, project: str) -> Iterator[pa.RecordBatch]:
    client = bigquery_read_client()
    with io():
        opened = again(
            client.create_read_session, parent=f"projects/{project}", read_session=session, max_stream_count=1,
            timeout=CALL, retry=None,
        )  # fmt: skip
        schema = pa.ipc.read_schema(pa.py_buffer(opened.arrow_schema.serialized_schema))
        yield pa.RecordBatch.from_pylist([], schema)
        for stream in opened.streams:  # one, or none if the table is empty
            for answer in client.read_rows(stream.name, retry=retrying()):  # goes on where a connection broke
                data = pa.py_buffer(answer.arrow_record_batch.serialized_record_batch)
                yield pa.ipc.read_record_batch(data, schema)


@contextmanager
def open_query(query: Query, key: str, version: str, project: str, limits: Limits) -> Iterator[SortedRows]:
    """Open the rows of a query of tables as they were at the time of a version.

    A retry finds the job that the first try has started, as long as BigQuery keeps its rows: a day.

    Args:
        query: what may be run.
        key: of the request, from which the job's id derives.
        version: milliseconds since 1970.
        project: whom the query is billed to; "" for that of its tables.
        limits: max_query_bytes is the most that may be billed; the others are those of a file.

    Raises:
        RecordError: BAD_QUERY, SOURCE_GONE, SOURCE_FORBIDDEN, SOURCE_UNREADABLE, TOO_MANY_BYTES.
    """
    project = project or min(query.tables).project
    with _refused(version), scratch_folder() as scratch:
        rows = _query_rows(query, f"dropcast-query-{key}", version, project, limits)
        with sorted_rows(rows, lambda: version, limits, scratch) as found:
            yield found


def _query_rows(query: Query, job_id: str, version: str, project: str, limits: Limits) -> Iterator[pa.RecordBatch]:
    client = bigquery_client(project)
    with io():
        pinned = frozenset(table for table in query.tables if _can_be_pinned(table, project))
        first = min(query.tables)
        where = location_of(f"{first.project}.{first.dataset}")  # without which a job is not found again
        config = bigquery.QueryJobConfig(
            maximum_bytes_billed=limits.max_query_bytes, use_legacy_sql=False, use_query_cache=False
        )
        try:
            job = client.query(
                query.as_of(version, pinned), job_config=config, job_id=job_id, location=where, job_retry=None,
                retry=retrying(), timeout=CALL,
            )  # fmt: skip
        except exceptions.Conflict:
            job = client.get_job(job_id, location=where, retry=retrying(), timeout=CALL)
        result = job.result(retry=retrying(), job_retry=None)
        if job.statement_type not in (None, "SELECT"):
            raise RecordError("BAD_QUERY", "The query is not one SELECT.", "Write one SELECT.")
        emulated = bool(os.environ.get("BIGQUERY_EMULATOR_HOST"))  # it has no stream for a query's rows
        yield from result.to_arrow_iterable(bqstorage_client=None if emulated else bigquery_read_client())


def _can_be_pinned(table: Table, project: str) -> bool:
    found = _described(table, project)
    return found is not None and found.table_type not in VIEWS


@contextmanager
def _refused(version: str) -> Iterator[None]:
    """Turn BigQuery's refusals into the owner's; its own errors pass.

    Args:
        version: the time at which rows are read.

    Raises:
        RecordError: SOURCE_GONE, SOURCE_FORBIDDEN, TOO_MANY_BYTES or SOURCE_UNREADABLE.
    """
    try:
        yield
    except exceptions.NotFound:
        raise _gone() from None
    except exceptions.GoogleAPICallError as error:
        past = isinstance(error, exceptions.BadRequest) and datetime.now(UTC) - time_of(version) > SHORTEST_WINDOW
        raise (_gone() if past else _refusal(error)) from None


def _refusal(error: exceptions.GoogleAPICallError) -> RecordError:
    """Return the refusal for an error of BigQuery.

    Raises:
        google.api_core.exceptions.GoogleAPICallError: if it is the server's own.
    """
    said = str(error.message)
    reasons = {one.get("reason") for one in error.errors or () if isinstance(one, dict)}
    if "bytesBilledLimitExceeded" in reasons or "bytes billed" in said.lower():
        return RecordError(
            "TOO_MANY_BYTES",
            f"The query would read more than it may: {shorten(said, 200)}",
            "Read less, such as one partition, or ask the operator to raise --max_query_bytes.",
        )
    if is_transient(error) or not isinstance(error, exceptions.ClientError):
        raise error
    if isinstance(error, exceptions.Forbidden | exceptions.Unauthorized):
        return RecordError(
            "SOURCE_FORBIDDEN",
            f"Permission to read from BigQuery is denied: {shorten(said, 200)}",
            "Grant the pipeline's service account BigQuery Data Viewer on the dataset and Read Session User on the "
            "project, then replay.",
        )
    if isinstance(error, exceptions.BadRequest):
        return RecordError(
            "BAD_QUERY", f"BigQuery refuses it: {shorten(said, 300)}", "Fix it, and try it in the console."
        )
    return RecordError(
        "SOURCE_UNREADABLE", f"BigQuery refused to return the rows: {shorten(said, 200)}", "Check it there."
    )


def _gone() -> RecordError:
    return RecordError(
        "SOURCE_GONE",
        "The table is not there, or BigQuery no longer has it as it was when it was asked for.",
        "Ask for its current state: start the job again, or upload the manifest again.",
    )
