"""Sources in BigQuery: bigquery:PROJECT.DATASET.TABLE, and queries in .sql files. What they may name, no clients."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlglot
from sqlglot import exp

from pipeline.core.errors import RecordError, shorten

SCHEME = "bigquery:"
QUERY_SUFFIX = ".sql"
MAX_QUERY_BYTES = 1 << 18  # of a query's text
_PROJECT, _NAME = r"[a-z][a-z0-9-]{4,28}[a-z0-9]", r"\w{1,1024}"
_TABLE = re.compile(rf"{SCHEME}({_PROJECT})\.({_NAME})\.([\w -]{{1,1024}})")
_PLACE = re.compile(rf"{SCHEME}{_PROJECT}\.{_NAME}(\.[\w -]{{1,1024}})?")
# Namespaces of functions that compute from their arguments alone; others call models, keys, or functions of somebody.
_PLAIN_FUNCTIONS = frozenset({"SAFE", "NET", "HLL_COUNT"})
_NOT_DATA = frozenset({"INFORMATION_SCHEMA"})
HINT = "See docs/bigquery-input.md for what a query may be."


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


@dataclass(frozen=True)
class Query:
    """A query that may be run.

    Attributes:
        sql: its text.
        tables: what it reads.
        ends: where in the text each mention of a table ends, with the table; without those that name a time themselves.
    """

    sql: str
    tables: frozenset[Table]
    ends: tuple[tuple[int, Table], ...]

    def as_of(self, version: str, tables: frozenset[Table]) -> str:
        """Return the query with some of its tables read as they were at the time of a version."""
        clause = f" FOR SYSTEM_TIME AS OF TIMESTAMP '{time_of(version).isoformat(timespec='milliseconds')}'"
        sql = self.sql
        for end, table in sorted(self.ends, reverse=True):
            if table in tables:
                sql = sql[:end] + clause + sql[end:]
        return sql


def checked_query(text: bytes, allowed: Sequence[str]) -> Query:
    """Return a query, if it is one SELECT of tables that are allowed, and calls nothing of anybody's making.

    Args:
        text: of the query, UTF-8, in BigQuery's SQL.
        allowed: datasets and tables, as bigquery:PROJECT.DATASET.

    Raises:
        RecordError: BAD_QUERY.
    """
    if len(text) > MAX_QUERY_BYTES:
        raise _bad(f"The query has more than {MAX_QUERY_BYTES:,} bytes.")
    try:
        sql = text.decode()
        statements = [one for one in sqlglot.parse(sql, read="bigquery") if one is not None]
    except (UnicodeDecodeError, sqlglot.errors.SqlglotError, RecursionError) as error:
        raise _bad(f"The query cannot be parsed: {shorten(str(error), 300)}.") from None
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise _bad("The query is not one SELECT.")
    (tree,) = statements
    _refuse_functions(tree)
    tables: set[Table] = set()
    ends: list[tuple[int, Table]] = []
    for node in tree.find_all(exp.Table):
        if not node.db and isinstance(node.this, exp.Identifier) and _is_cte(node):
            continue
        table = _table_of(node)
        if not is_allowed(table, allowed):
            raise RecordError(
                "BAD_QUERY",
                f"The query reads {table.source}, which is not allowed.",
                f"Ask the operator to allow its dataset: --allow={SCHEME}{table.project}.{table.dataset}.",
                found=table.source,
            )
        tables.add(table)
        if node.args.get("version") is None:
            ends.append((_end_of(node), table))
    if not tables:
        raise _bad("The query reads no table.")
    return Query(sql, frozenset(tables), tuple(ends))


def _refuse_functions(tree: exp.Expression) -> None:
    for call in tree.find_all(exp.Dot):
        if isinstance(call.expression, exp.Func) and call.this.sql().upper() not in _PLAIN_FUNCTIONS:
            raise _bad(f"The query calls {shorten(call.sql('bigquery'))}, a function that is not plain SQL.")
    for call in tree.find_all(exp.Anonymous):
        if not isinstance(call.this, str) or "." in call.this:  # `project.dataset.function`(...)
            raise _bad(f"The query calls {shorten(call.sql('bigquery'))}, a function that is not plain SQL.")
    for into in tree.find_all(exp.Into, exp.Insert, exp.Update, exp.Delete, exp.Create, exp.Command):
        raise _bad(f"The query does more than SELECT: {shorten(into.sql('bigquery'))}.")


def _table_of(node: exp.Table) -> Table:
    if not isinstance(node.this, exp.Identifier):
        raise _bad(f"The query reads {shorten(node.sql('bigquery'))}, which is a function, not a table.")
    parts = [part.name for part in node.parts]
    if len(parts) != 3 or any("." in part for part in parts) or _NOT_DATA & {part.upper() for part in parts}:
        raise _bad(f"The query names {shorten(node.sql('bigquery'))}; name tables as PROJECT.DATASET.TABLE.")
    if not _TABLE.fullmatch(f"{SCHEME}{'.'.join(parts)}"):
        raise _bad(f"The query names {shorten(node.sql('bigquery'))}, which is not the name of one table.")
    return Table(*parts)


def _end_of(node: exp.Table) -> int:
    """Return the position after a table's name and alias, where FOR SYSTEM_TIME is written."""
    last = node.args["alias"].this if node.args.get("alias") is not None else node.this
    if "end" not in last.meta or node.args.get("pivots"):
        raise _bad(f"The query has {shorten(node.sql('bigquery'))}; put it into a subquery.")
    return int(last.meta["end"]) + 1


def _is_cte(node: exp.Table) -> bool:
    """Return whether a name without a dataset is that of a WITH clause around it."""
    above: exp.Expression | None = node
    while above is not None:
        clause = above.args.get("with_") or above.args.get("with")
        if clause is not None and node.name.lower() in {one.alias.lower() for one in clause.expressions}:
            return True
        above = above.parent
    return False


def _bad(message: str) -> RecordError:
    return RecordError("BAD_QUERY", message, HINT)
