"""BigQuery's streaming inserts and job ids as they really behave, in front of an emulator that does the rest.

The emulator inserts a row again that it has seen, answers a bad row with an error of its own, and runs a job twice.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from tests.local_cloud.forwarding import Answer, Handler, Request, Server, ask, error_answer, json_answer

TABLE = re.compile(r"/bigquery/v2/projects/([^/]+)/datasets/([^/]+)/tables/([^/?]+)(/insertAll)?(?:\?|$)")
DATASET = re.compile(r"/bigquery/v2/projects/([^/]+)/datasets/([^/?]+)(?:\?|$)")
JOBS = re.compile(r"/(?:upload/)?bigquery/v2/projects/([^/]+)/jobs(?:\?|$)")
JOB_ID = re.compile(rb'"jobId"\s*:\s*"([^"]+)"')
MOST_ROWS, MOST_BYTES = 50_000, 10 * 2**20
PAST, FUTURE = timedelta(days=5 * 365), timedelta(days=366)


@dataclass
class Counts:
    """How many rows of a table came and what became of them."""

    received: int = 0
    inserted: int = 0
    deduplicated: int = 0
    refused: int = 0


@dataclass
class Table:
    """What is remembered of a table."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    counts: Counts = field(default_factory=Counts)
    insert_ids: set[str] = field(default_factory=set)
    refuse_every: int = 0
    refused_ids: set[str] = field(default_factory=set)


class Invalid(Exception):  # noqa: N818  (it is the answer's word)
    """A row's value does not fit the table."""

    def __init__(self, location: str, message: str) -> None:
        super().__init__(message)
        self.location = location


class BigQueryFront(Server):
    """The server. `url` is what BIGQUERY_EMULATOR_HOST is to be."""

    def __init__(self, emulator: str, port: int = 0) -> None:
        self.emulator = emulator
        self._lock = threading.Lock()
        # The emulator's threads share a connection to its engine that is made for one.
        self._emulator_lock = threading.Lock()
        self._tables: dict[tuple[str, str, str], Table] = defaultdict(Table)
        self._jobs: dict[tuple[str, bytes], threading.Lock] = defaultdict(threading.Lock)
        self._known_jobs: set[tuple[str, bytes]] = set()
        self._refuse_every: dict[str, int] = {}
        super().__init__(port)

    def respond(self, handler: Handler, request: Request) -> None:
        """Answer a request."""
        handler.send(self._answer(request.unzipped()))

    def _answer(self, request: Request) -> Answer:
        table = TABLE.match(request.path)
        jobs = JOBS.match(request.path)
        if request.path.startswith("/control/"):
            return self._control(request)
        if table and table[4] and request.method == "POST":
            return self._insert_all(table[1], table[2], table[3].split("$")[0].split("%24")[0], request)
        if jobs and request.method == "POST" and (job_id := JOB_ID.search(request.body[:100_000])):
            return self._insert_job((jobs[1], job_id[1]), request)
        answer = self._ask(request)
        if request.method == "DELETE" and answer.status < 300:
            self._forget(request)
        return answer

    def _ask(self, request: Request) -> Answer:
        with self._emulator_lock:
            return ask(self.emulator, request)

    def refuse_every(self, table: str, every: int) -> None:
        """Let one row in so many be refused, of a table named TABLE or DATASET.TABLE; 0 ends it."""
        self._refuse_every[table] = every

    def counts(self) -> dict[str, dict[str, int]]:
        """Return what became of the rows of each table, by DATASET.TABLE."""
        with self._lock:
            return {f"{key[1]}.{key[2]}": asdict(table.counts) for key, table in self._tables.items()}

    def _control(self, request: Request) -> Answer:
        if request.path == "/control/counts":
            return json_answer(200, self.counts())
        if request.path == "/control/refuse_every" and request.method == "POST":
            wish = json.loads(request.body)
            self.refuse_every(wish["table"], int(wish["every"]))
            return json_answer(200, {})
        return error_answer(404, "notFound", "There are /control/counts and /control/refuse_every")

    def _forget(self, request: Request) -> None:
        """Forget the rows of a table that was deleted, or of a dataset's."""
        gone = TABLE.match(request.path) or DATASET.match(request.path)
        if gone:
            names = gone.groups()[:3]
            with self._lock:
                for key in [key for key in self._tables if key[: len(names)] == names]:
                    del self._tables[key]

    def _insert_job(self, key: tuple[str, bytes], request: Request) -> Answer:
        with self._lock:
            job = self._jobs[key]
        with job:  # The second waits for the first, whose outcome it is going to ask for.
            if key in self._known_jobs:
                return error_answer(409, "duplicate", f"Already Exists: Job {key[0]}:US.{key[1].decode()}")
            answer = self._ask(request)
            if answer.status < 300:
                self._known_jobs.add(key)
            return answer

    # Rows.

    def _insert_all(self, project: str, dataset: str, name: str, request: Request) -> Answer:
        path = f"/bigquery/v2/projects/{project}/datasets/{dataset}/tables/{name}"
        described = self._ask(Request("GET", path, [("Host", request.header("host"))], b""))
        if described.status != 200:
            return described
        if len(request.body) > MOST_BYTES:
            return error_answer(413, "uploadTooLarge", f"Request payload size exceeds the limit: {MOST_BYTES} bytes.")
        try:
            body = json.loads(request.body, parse_constant=_no_constant)
        except ValueError as error:
            return error_answer(400, "parseError", f"Invalid JSON payload received. {error}")
        rows = body.get("rows") or []
        if not rows:
            return error_answer(400, "invalid", "No rows present in the request.")
        if len(rows) > MOST_ROWS:
            return error_answer(400, "invalid", f"too many rows present in the request, limit: {MOST_ROWS}")
        with self._lock:
            table = self._tables[project, dataset, name]
        with table.lock:
            every = self._refuse_every.get(name) or self._refuse_every.get(f"{dataset}.{name}") or 0
            checked = Checked(table, json.loads(described.body), bool(body.get("ignoreUnknownValues")), every)
            for row in rows:
                checked.take(row)
            return self._insert(checked, path, body, request)

    def _insert(self, checked: Checked, path: str, body: dict[str, Any], request: Request) -> Answer:
        """Insert the rows that are good, unless a bad one stops them."""
        table, errors = checked.table, dict(checked.errors)
        if errors and not body.get("skipInvalidRows"):
            for index in range(len(body["rows"])):
                errors.setdefault(index, {"reason": "stopped", "location": "", "debugInfo": "", "message": ""})
            checked.good.clear()
            checked.known = 0
        if checked.good:
            wanted = {"rows": [{"json": row} for _, row in checked.good]}
            headers = [("Host", request.header("host")), ("Content-Type", "application/json")]
            answer = self._ask(Request("POST", f"{path}/insertAll", headers, json.dumps(wanted).encode()))
            if answer.status != 200 or json.loads(answer.body).get("insertErrors"):
                return answer
        table.insert_ids.update(insert_id for insert_id, _ in checked.good if insert_id)
        table.counts.inserted += len(checked.good)
        table.counts.deduplicated += checked.known
        table.counts.refused += len(checked.errors)
        content: dict[str, Any] = {"kind": "bigquery#tableDataInsertAllResponse"}
        if errors:
            content["insertErrors"] = [{"index": index, "errors": [errors[index]]} for index in sorted(errors)]
        return json_answer(200, content)


class Checked:
    """The rows of one request, after a look at each."""

    def __init__(self, table: Table, description: dict[str, Any], ignore_unknown: bool, refuse_every: int) -> None:
        self.table = table
        self.fields = description.get("schema", {}).get("fields", [])
        self.partitioned_by = description.get("timePartitioning", {}).get("field", "")
        self.ignore_unknown = ignore_unknown
        self.refuse_every = refuse_every
        self.good: list[tuple[str, dict[str, Any]]] = []
        self.known = 0
        self.errors: dict[int, dict[str, str]] = {}
        self._count = 0
        self._ids: set[str] = set()

    def take(self, row: dict[str, Any]) -> None:
        """Put a row with the good, the known or the bad ones."""
        index, self._count = self._count, self._count + 1
        insert_id = str(row.get("insertId") or "")
        counts = self.table.counts
        counts.received += 1
        if insert_id and (insert_id in self.table.insert_ids or insert_id in self._ids):
            self.known += 1
            return
        # A row that was refused once is refused again, when it is known by its id.
        chosen = self.refuse_every and counts.received % self.refuse_every == 0
        try:
            if self.refuse_every and (chosen or insert_id in self.table.refused_ids):
                if insert_id:
                    self.table.refused_ids.add(insert_id)
                raise Invalid("", f"One row in {self.refuse_every} is refused, as asked for")
            content = row_of(row.get("json"), self.fields, self.ignore_unknown)
            self._check_partition(content)
        except Invalid as error:
            self.errors[index] = {
                "reason": "invalid",
                "location": error.location,
                "debugInfo": "",
                "message": str(error),
            }
            return
        self._ids.add(insert_id)
        self.good.append((insert_id, content))

    def _check_partition(self, row: dict[str, Any]) -> None:
        value = row.get(self.partitioned_by)
        if value is None:
            return
        day, today = date.fromisoformat(value[:10]), datetime.now(UTC).date()
        if not today - PAST <= day <= today + FUTURE:
            raise Invalid(
                self.partitioned_by,
                f"The destination table's partition {day:%Y%m%d} is outside the allowed bounds. You can only stream to "
                f"partitions within {PAST.days} days in the past and {FUTURE.days} days in the future relative to the "
                "current date.",
            )


def row_of(content: Any, fields: list[dict[str, Any]], ignore_unknown: bool, place: str = "") -> dict[str, Any]:
    """Return a row, or a record in one, with its values in the form that the emulator understands."""
    if not isinstance(content, dict):
        raise Invalid(place.rstrip("."), f"This field: {place.rstrip('.')} is not a record.")
    by_name = {field["name"].lower(): field for field in fields}
    row: dict[str, Any] = {}
    for name, value in content.items():
        if name.lower() in by_name:
            described = by_name[name.lower()]
            row[described["name"]] = _field_of(value, described, ignore_unknown, f"{place}{described['name']}")
        elif not ignore_unknown:
            raise Invalid(f"{place}{name}", f"no such field: {place}{name}.")
    for described in fields:
        if described.get("mode") == "REQUIRED" and row.get(described["name"]) is None:
            where = f"{place}{described['name']}"
            raise Invalid(where, f"Missing required field: Msg_0_CLOUD_QUERY_TABLE.{where}.")
    return row


def _field_of(value: Any, described: dict[str, Any], ignore_unknown: bool, place: str) -> Any:
    if described.get("mode") == "REPEATED":
        if value is None:
            return []
        if not isinstance(value, list):
            value = [value]
        if None in value:
            raise Invalid(place, f"Only optional fields can be set to NULL. Field: {place}; Value: NULL")
        one = {**described, "mode": "NULLABLE"}
        return [_field_of(item, one, ignore_unknown, place) for item in value]
    if value is None:
        return None
    if isinstance(value, list):
        raise Invalid(place, f"Array specified for non-repeated field: {place}.")
    kind = described["type"].upper()
    if kind in ("RECORD", "STRUCT"):
        return row_of(value, described.get("fields", []), ignore_unknown, f"{place}.")
    if isinstance(value, dict) and kind != "RANGE":
        raise Invalid(place, f"This field: {place} is not a record.")
    convert, word = CONVERSIONS.get(kind, (lambda same: same, kind.lower()))
    try:
        return convert(value)
    except (ValueError, TypeError, ArithmeticError, OverflowError):
        raise Invalid(place, f"Cannot convert value to {word} (bad value): {value}") from None


# Values.


def _no_constant(name: str) -> Any:
    raise ValueError(f"Unexpected token: {name}")


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError
    return value


def _string(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _integer(value: Any) -> int:
    if isinstance(value, str) and not re.fullmatch(r"[+-]?\d+", value):
        raise ValueError
    number = int(_no_bool(value))
    if not -(2**63) <= number < 2**63 or (isinstance(value, float) and number != value):
        raise ValueError
    return number


def _float(value: Any) -> float | str:
    number = float(_no_bool(value))
    # JSON has no such numbers; both the real service and the emulator take their names.
    return number if number - number == 0 else {"inf": "Infinity", "-inf": "-Infinity"}.get(str(number), "NaN")


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise ValueError


def _decimal(digits: int, scale: int) -> Callable[[Any], str]:
    def convert(value: Any) -> str:
        try:
            number = Decimal(str(_no_bool(value)))
        except InvalidOperation:
            raise ValueError from None
        if not number.is_finite():
            raise ValueError
        exponent = number.normalize().as_tuple().exponent
        if -int(exponent) > scale or abs(number) >= Decimal(10) ** (digits - scale):
            raise ValueError
        return f"{number:f}"

    return convert


def _timestamp(value: Any) -> str:
    if isinstance(value, str) and not re.fullmatch(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?", value):
        moment = datetime.fromisoformat(re.sub(r"\s*(UTC|Z)$", "+00:00", value.strip()))
        moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    else:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=float(_no_bool(value)))
    return moment.isoformat()


def _datetime(value: Any) -> str:
    moment = datetime.fromisoformat(value)
    if moment.tzinfo:
        raise ValueError
    return moment.isoformat()


def _json(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    json.loads(text)
    return text


def _bytes(value: Any) -> str:
    base64.b64decode(value, validate=True)
    return str(value)


CONVERSIONS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "STRING": (_string, "string"),
    "BYTES": (_bytes, "bytes"),
    "INTEGER": (_integer, "integer"),
    "INT64": (_integer, "integer"),
    "FLOAT": (_float, "double"),
    "FLOAT64": (_float, "double"),
    "BOOLEAN": (_boolean, "boolean"),
    "BOOL": (_boolean, "boolean"),
    "NUMERIC": (_decimal(38, 9), "numeric"),
    "BIGNUMERIC": (_decimal(76, 38), "bignumeric"),
    "TIMESTAMP": (_timestamp, "timestamp"),
    "DATE": (lambda value: date.fromisoformat(value).isoformat(), "date"),
    "TIME": (lambda value: time.fromisoformat(value).isoformat(), "time"),
    "DATETIME": (_datetime, "datetime"),
    "JSON": (_json, "json"),
}
