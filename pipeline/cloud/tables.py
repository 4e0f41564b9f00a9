"""The tables in BigQuery: created if missing, checked against their schemas; writes are idempotent.

A few rows go by insertAll, with Dropcast's own insert ids. Many rows go as Parquet parts by a load job, whose id
derives from what it loads: if the job already exists, its result is used and it is not started again.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import Any

import pyarrow as pa
from google.api_core import exceptions
from google.cloud import bigquery

from pipeline.cloud.clients import bigquery_client
from pipeline.cloud.joined_inserts import REQUEST_BYTES, ROWS_A_REQUEST, inserts_into
from pipeline.cloud.retry import CALL, retrying
from pipeline.core.elements import DeadLetter, Receipt
from pipeline.core.io_faults import place
from pipeline.core.outputs.tables import TABLES, VIEWS, element_rows, table_fields, view_sql

ROW_BYTES = 1 << 20  # of a text in a row
PARTS_A_JOB = 10_000  # the most that one load job may name
JOB_TRIES, JOB_WAIT = 3, 2.0  # of one call, and seconds before the second; the id of a failed job is burnt
# Not by the dates forecast: BigQuery streams no rows into partitions some five years back or one year ahead. For the
# same reason the table of dead letters, which is small, has no partitions: old files may have dead letters too.
PARTITION = {"forecasts": "source_time", "receipts": "finished_at", "history": "source_time",
             "backtests": "source_time", "actuals": "source_time"}  # fmt: skip
STREAMED_BACK = timedelta(days=4 * 365)
CLUSTER = {
    "forecasts": ["source", "series_id"], "receipts": ["source", "output"], "dead_letters": ["source", "code"],
    "history": ["source", "series_id"], "backtests": ["source", "series_id"],
    "actuals": ["source", "series_id"],
}  # fmt: skip
_SAME_TYPE = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}
# a row that was not examined because another one in its request was bad, or that the server could not accept yet
_RETRIED = frozenset({"stopped", "backendError", "internalError", "timeout", "rateLimitExceeded", "quotaExceeded"})


class LoadRefusedError(Exception):
    """BigQuery refused a load job, and would refuse it again."""


@place()
@dataclass(frozen=True)
class Tables:
    """The tables of one dataset.

    Attributes:
        dataset: PROJECT.DATASET.
    """

    dataset: str

    @property
    def project(self) -> str:
        """The project that owns the dataset."""
        return self.dataset.split(".")[0]

    @property
    def _client(self) -> bigquery.Client:
        return bigquery_client(self.project)

    def _name(self, table: str) -> str:
        return f"{self.dataset}.{table}"

    # ------------------------------------------------------------------------------------- at the start

    def prepare(self, expiration_days: int | None) -> list[str]:
        """Create missing tables and views; return the problems of existing ones, one line each.

        Args:
            expiration_days: days after which a partition is dropped; None keeps it. The expiration of existing
                tables is not changed.
        """
        try:
            self._client.get_dataset(self.dataset, retry=retrying(), timeout=CALL)
        except exceptions.NotFound:
            return [f"--dataset: dataset {self.dataset} does not exist; create it in the region of the buckets"]
        except exceptions.Forbidden:
            return [f"--dataset: no permission to read {self.dataset}; grant BigQuery Data Editor on it"]
        problems: list[str] = []
        for table in TABLES:
            try:
                problems += self._prepare_table(table, expiration_days)
            except exceptions.Forbidden:
                problems.append(
                    f"--dataset: no permission to create or read {self._name(table)}; grant BigQuery Data Editor"
                )
        if not problems:
            for view in VIEWS:
                self._prepare_view(view)
        return problems

    def _prepare_table(self, table: str, expiration_days: int | None) -> list[str]:
        wanted = [bigquery.SchemaField.from_api_repr(field) for field in table_fields(table)]
        try:
            there = self._client.get_table(self._name(table), retry=retrying(), timeout=CALL)
        except exceptions.NotFound:
            new = bigquery.Table(self._name(table), schema=wanted)
            if table in PARTITION:
                new.time_partitioning = bigquery.TimePartitioning(
                    field=PARTITION[table], expiration_ms=expiration_days and expiration_days * 86_400_000
                )
            new.clustering_fields = CLUSTER[table]
            self._client.create_table(new, exists_ok=True, retry=retrying(), timeout=CALL)
            return []
        columns = {field.name: field for field in there.schema}
        problems = []
        for field in wanted:
            found = columns.pop(field.name, None)
            if found is None:
                problems.append(f"--dataset: {self._name(table)} lacks the column {field.name} ({field.field_type})")
            elif _type(found) != _type(field):
                problems.append(
                    f"--dataset: {self._name(table)} has {field.name} as {found.field_type}, not {field.field_type}"
                )
        problems += [
            f"--dataset: {self._name(table)} requires a column that Dropcast does not write: {field.name}"
            for field in columns.values()
            if field.mode == "REQUIRED"
        ]
        return problems

    def _prepare_view(self, view: str) -> None:
        wanted = bigquery.Table(self._name(view))
        wanted.view_query = qualified(view_sql(view), self.dataset)
        try:
            there = self._client.get_table(self._name(view), retry=retrying(), timeout=CALL)
        except exceptions.NotFound:
            self._client.create_table(wanted, exists_ok=True, retry=retrying(), timeout=CALL)
            return
        if there.view_query != wanted.view_query:
            there.view_query = wanted.view_query
            self._client.update_table(there, ["view_query"], retry=retrying(), timeout=CALL)

    # ------------------------------------------------------------------------------------------ rows

    def insert(self, table: str, rows: pa.Table, ids: Sequence[str]) -> dict[int, str]:
        """Insert rows; return the reasons for refused rows, by position.

        Args:
            table: one of TABLES.
            rows: with the table's schema.
            ids: of each row: BigQuery drops a row whose id it has seen a short while ago.
        """
        refused: dict[int, str] = {}
        records = [{name: _json(value) for name, value in row.items()} for row in rows.to_pylist()]
        joined = inserts_into(self._name(table))
        for start, end, size in _requests(records):
            found = joined.insert(records[start:end], ids[start:end], size, partial(self._insert, table))
            refused |= {start + position: why for position, why in found.items()}
        return refused

    def _insert(self, table: str, records: Sequence[dict[str, Any]], ids: Sequence[str]) -> dict[int, str]:
        refused: dict[int, str] = {}
        left = list(range(len(records)))

        def attempt() -> None:
            nonlocal left
            found = self._client.insert_rows_json(
                self._name(table),
                [records[i] for i in left],
                row_ids=[ids[i] for i in left],
                skip_invalid_rows=True,
                retry=None,
                timeout=CALL,
            )
            stopped = []
            for row in found:
                position = left[int(row["index"])]
                reasons = {error.get("reason", "") for error in row["errors"]}
                if reasons <= _RETRIED:
                    stopped.append(position)
                else:
                    refused[position] = "; ".join(_told(error) for error in row["errors"])
            left = stopped
            if stopped:
                raise exceptions.ServiceUnavailable(f"BigQuery did not accept {len(stopped)} rows of {table} this time")

        # a table that was just created is not known everywhere at once
        retrying(also=(exceptions.NotFound,))(attempt)()
        return refused

    # ------------------------------------------------------------------------------------- load jobs

    def load(self, table: str, uris: Sequence[str], name: str) -> None:
        """Load Parquet files into a table, once.

        Args:
            table: one of TABLES.
            uris: the files, at most PARTS_A_JOB.
            name: what the job's id derives from; the same files always go under the same name.

        Raises:
            LoadRefusedError: if the files are at fault.
            google.api_core.exceptions.GoogleAPICallError: if job after job fails; the next call starts another.
        """
        config = bigquery.LoadJobConfig(
            source_format=bigquery.SourceFormat.PARQUET,
            schema=[bigquery.SchemaField.from_api_repr(field) for field in table_fields(table)],
            write_disposition=bigquery.WriteDisposition.WRITE_APPEND,
            create_disposition=bigquery.CreateDisposition.CREATE_NEVER,
        )
        tried = 0
        for number in itertools.count():
            job_id = f"dropcast_{table}_{name}_{number}"
            job = self._job(job_id)
            ours = job is None
            if job is None:
                if tried:
                    time.sleep(JOB_WAIT * 2**tried)
                tried += 1
                try:
                    job = self._client.load_table_from_uri(
                        list(uris),
                        self._name(table),
                        job_id=job_id,
                        location=self._location,
                        job_config=config,
                        retry=retrying(),
                        timeout=CALL,
                    )
                except exceptions.Conflict:  # it was started, and the response was lost
                    job = self._job(job_id)
                    if job is None:
                        raise
            try:
                job.result(retry=retrying(), timeout=None)
            except exceptions.GoogleAPICallError:
                job.reload(retry=retrying(), timeout=CALL)
                if ours and (job.error_result or {}).get("reason") == "invalid":  # a retry would fail too
                    raise LoadRefusedError(_told(job.error_result)) from None
                if not job.error_result or tried >= JOB_TRIES:  # only the response failed, or no tries are left
                    raise
                continue
            return

    @property
    def _location(self) -> str:
        """The location of the dataset, without which an existing job is not found."""
        return location_of(self.dataset)

    def _job(self, job_id: str) -> Any:
        try:
            return self._client.get_job(job_id, location=self._location, retry=retrying(), timeout=CALL)
        except exceptions.NotFound:
            return None


def _requests(records: Sequence[dict[str, Any]]) -> Iterator[tuple[int, int, int]]:
    """Yield ranges of rows that go in one request each, and their bytes."""
    start = size = 0
    for position, record in enumerate(records):
        own = len(json.dumps(record))
        if position > start and (position - start == ROWS_A_REQUEST or size + own > REQUEST_BYTES):
            yield start, position, size
            start, size = position, 0
        size += own
    if records:
        yield start, len(records), size


def insert_own(tables: Tables | None, table: str, elements: Sequence[DeadLetter | Receipt], ids: Sequence[str]) -> None:
    """Insert dead letters or receipts, none of which BigQuery may refuse; without tables do nothing."""
    refused = tables.insert(table, element_rows(table, elements), ids) if tables is not None else {}
    if refused:
        raise RuntimeError(f"BigQuery refused rows of {table}: {next(iter(refused.values()))}")


@cache
def location_of(dataset: str) -> str:
    """Return the location of a dataset, which never changes."""
    found = bigquery_client(dataset.split(".")[0]).get_dataset(dataset, retry=retrying(), timeout=CALL)
    return str(found.location)


def qualified(sql: str, dataset: str) -> str:
    """Return a query in which the bare names of Dropcast's tables and views are qualified with their dataset.

    The same replacement is made in terraform/modules/dropcast/bigquery.tf, so that neither undoes the other's view.
    """
    names = "|".join((*TABLES, *VIEWS))
    return re.sub(rf"\b(FROM|JOIN) ({names})\b", rf"\1 `{dataset}.\2`", sql)


def may_be_streamed(source_time: str) -> bool:
    """Return whether rows of a source created then can be streamed; otherwise they must be loaded."""
    return datetime.now(UTC) - datetime.fromisoformat(source_time) < STREAMED_BACK


def row_id(*parts: object) -> str:
    """Return the id of a row, from what identifies it."""
    return hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).hexdigest()[:40]


def job_name(keys: Iterable[str]) -> str:
    """Return the source of a load job's id: the keys of the requests whose rows it loads."""
    return hashlib.sha256("\n".join(sorted(set(keys))).encode()).hexdigest()[:32]


def _type(field: bigquery.SchemaField) -> str:
    kind = str(field.field_type).upper()
    return _SAME_TYPE.get(kind, kind)


def _told(error: dict[str, Any]) -> str:
    place = f"{error['location']}: " if error.get("location") else ""
    return f"{place}{error.get('message') or error.get('reason', '')}"


def _json(value: Any) -> Any:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value
