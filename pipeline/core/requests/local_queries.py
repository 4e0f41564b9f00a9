"""Queries in local .sql files, of Parquet files beside them: which files they name, and their version."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sqlglot import exp

from pipeline.core.errors import RecordError, shorten
from pipeline.core.requests.bigquery_queries import MAX_QUERY_BYTES, bad_query, names_a_cte, names_of_ctes, one_select
from pipeline.core.requests.names import PARQUET_SUFFIX, real_path
from pipeline.core.sources import content_version, open_source


@dataclass(frozen=True)
class LocalQuery:
    """A query of local files.

    Attributes:
        sql: its text, in DuckDB's SQL.
        files: the files that it reads, by the names that it gives them.
    """

    sql: str
    files: dict[str, Path]

    def version(self) -> str:
        """Return the SHA-256 of the query and of what its files have now.

        Raises:
            RecordError: if a file cannot be opened.
        """
        parts = [hashlib.sha256(self.sql.encode()).hexdigest()]
        parts += [f"{name} {content_version(path)}" for name, path in sorted(self.files.items())]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def read_query(path: Path) -> LocalQuery:
    """Return the query in a file, if it is one SELECT of Parquet files in its folder or below.

    Raises:
        RecordError: BAD_QUERY, or the reason why the file cannot be read.
    """
    with open_source(path) as file:
        text = file.read(MAX_QUERY_BYTES + 1)
    sql, tree = one_select(text, "duckdb")
    files, ctes = {}, names_of_ctes(tree)
    for node in tree.find_all(exp.Table):
        if not names_a_cte(node, ctes):
            files[node.name] = _file_named(node, path.parent)
    if not files:
        raise bad_query("The query reads no file.")
    return LocalQuery(sql, files)


def _file_named(node: exp.Table, folder: Path) -> Path:
    name = node.name
    if not isinstance(node.this, exp.Identifier) or node.db or not name.lower().endswith(PARQUET_SUFFIX):
        shown = shorten(node.sql("duckdb"))
        raise bad_query(f"The query reads {shown}; name Parquet files beside it, such as 'sales.parquet'.")
    parts, place = PurePosixPath(name).parts, real_path(folder / name)
    if name.startswith("/") or ".." in parts or "\0" in name or not place.is_relative_to(real_path(folder)):
        raise RecordError(
            "PATH_NOT_ALLOWED",
            f"The query reads {name!r}, which is not in its folder.",
            "Put the file beside the query, or below.",
            found=name,
        )
    return place
