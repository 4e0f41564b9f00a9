"""What a query of BigQuery may be: one SELECT of tables that are allowed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlglot
from sqlglot import exp

from pipeline.core.errors import RecordError, shorten
from pipeline.core.requests.bigquery_sources import SCHEME, Table, is_allowed, table_named, time_of

MAX_QUERY_BYTES = 1 << 16  # of a query's text
MAX_TOKENS, MAX_PIPES = 20_000, 50
# Namespaces of functions that compute from their arguments alone; others call models, keys, or functions of somebody.
_PLAIN_FUNCTIONS = frozenset({"SAFE", "NET", "HLL_COUNT"})
_OUTSIDE = ("DLP_", "EXTERNAL_")  # beginnings of functions' names
_NOT_DATA = frozenset({"INFORMATION_SCHEMA"})
HINT = "See docs/bigquery-input.md for what a query may be."


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
    sql, tree = one_select(text, "bigquery")
    _refuse_functions(tree)
    for array in tree.find_all(exp.Unnest):
        _refuse_quoted_path(array, sql)
    ctes = names_of_ctes(tree)
    tables: set[Table] = set()
    ends: list[tuple[int, Table]] = []
    for node in tree.find_all(exp.Table):
        if names_a_cte(node, ctes):
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
            ends.append((_end_of(node, sql), table))
    if not tables:
        raise bad_query("The query reads no table.")
    return Query(sql, frozenset(tables), tuple(ends))


def _refuse_functions(tree: exp.Expression) -> None:
    for call in tree.find_all(exp.Dot):
        if isinstance(call.expression, exp.Func) and call.this.sql().upper() not in _PLAIN_FUNCTIONS:
            raise bad_query(f"The query calls {shorten(call.sql('bigquery'))}, a function that is not plain SQL.")
    for call in tree.find_all(exp.Anonymous):
        if not isinstance(call.this, str) or "." in call.this:  # `project.dataset.function`(...)
            raise bad_query(f"The query calls {shorten(call.sql('bigquery'))}, a function that is not plain SQL.")
        if str(call.this).upper().startswith(_OUTSIDE):
            raise bad_query(f"The query calls {shorten(call.sql('bigquery'))}, which reaches out of BigQuery.")
    for variable in tree.find_all(exp.SessionParameter, exp.Parameter):
        raise bad_query(f"The query reads {variable.sql('bigquery')}, which is not data.")
    for into in tree.find_all(exp.Into, exp.Insert, exp.Update, exp.Delete, exp.Create, exp.Command):
        raise bad_query(f"The query does more than SELECT: {shorten(into.sql('bigquery'))}.")


def _table_of(node: exp.Table) -> Table:
    if not isinstance(node.this, exp.Identifier):
        raise bad_query(f"The query reads {shorten(node.sql('bigquery'))}, which is a function, not a table.")
    parts = [part.name for part in node.parts]
    if len(parts) != 3 or any("." in part for part in parts) or _NOT_DATA & {part.upper() for part in parts}:
        raise bad_query(f"The query names {shorten(node.sql('bigquery'))}; name tables as PROJECT.DATASET.TABLE.")
    try:
        return table_named(f"{SCHEME}{'.'.join(parts)}")
    except RecordError:
        raise bad_query(
            f"The query names {shorten(node.sql('bigquery'))}, which is not the name of one table."
        ) from None


def _refuse_quoted_path(array: exp.Unnest, sql: str) -> None:
    """Raise if what is read as an array of a table before it may be the name of another table.

    In FROM t AS x, x.items the second is an array; `x.items` in backticks is one name, and BigQuery looks for a table.
    """
    names = [one for one in array.find_all(exp.Identifier) if "start" in one.meta]
    first = min((int(one.meta["start"]) for one in names), default=None)
    if first is not None and sql[first] == "`" and not sql[:first].rstrip().endswith("("):
        raise bad_query(f"The query reads {shorten(array.sql('bigquery'))}; write UNNEST(...) if it is an array.")


def _end_of(node: exp.Table, sql: str) -> int:
    """Return the position after a table's name and alias, where FOR SYSTEM_TIME is written."""
    last = node.args["alias"].this if node.args.get("alias") is not None else node.this
    if "end" not in last.meta or node.args.get("pivots"):
        raise bad_query(f"The query has {shorten(node.sql('bigquery'))}; put it into a subquery.")
    end = int(last.meta["end"]) + 1
    if not sql[int(last.meta["start"]) : end].strip("`").endswith(last.name):  # a dash may be in a name, or after it
        raise bad_query(f"The query names {shorten(node.sql('bigquery'))}; write the name in backticks.")
    return end


def names_of_ctes(tree: exp.Expression) -> dict[int, set[str]]:
    """Return the names that each WITH clause of a query defines, by the clause's id."""
    return {id(clause): {one.alias.lower() for one in clause.expressions} for clause in tree.find_all(exp.With)}


def names_a_cte(node: exp.Table, ctes: dict[int, set[str]]) -> bool:
    """Return whether what is named is a part of the query itself, by a WITH clause around it.

    Args:
        node: of the query.
        ctes: see names_of_ctes.
    """
    if node.db or not isinstance(node.this, exp.Identifier):
        return False
    above: exp.Expression | None = node
    while above is not None:
        clause = above.args.get("with_") or above.args.get("with")
        if clause is not None and node.name.lower() in ctes[id(clause)]:
            return True
        above = above.parent
    return False


def one_select(text: bytes, dialect: str) -> tuple[str, exp.Query]:
    """Return a query's text, and what it is parsed to.

    Raises:
        RecordError: BAD_QUERY if it is too long, cannot be parsed, or is not one SELECT.
    """
    if len(text) > MAX_QUERY_BYTES:
        raise bad_query(f"The query has more than {MAX_QUERY_BYTES:,} bytes.")
    try:
        sql = text.decode("utf-8-sig")
        tokens = sqlglot.tokenize(sql, read=dialect)
        pipes = sum(token.text == "|>" for token in tokens)
        if len(tokens) > MAX_TOKENS or pipes > MAX_PIPES:  # the parser takes longer than in proportion
            raise bad_query(f"The query has more than {MAX_TOKENS:,} words or {MAX_PIPES} pipe operators.")
        if any(token.token_type == sqlglot.TokenType.TABLE for token in tokens):
            raise bad_query("The query has the word TABLE: tables as arguments are not read.")
        statements = [one for one in sqlglot.parse(sql, read=dialect) if one is not None]
    except RecordError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever the parser raises, what it cannot read is refused
        raise bad_query(f"The query cannot be parsed: {shorten(str(error), 300)}.") from None
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise bad_query("The query is not one SELECT.")
    return sql, statements[0]


def bad_query(message: str) -> RecordError:
    """Return the error for a query that cannot be run."""
    return RecordError("BAD_QUERY", message, HINT)
