"""Names of outputs, and the local files that an input pattern matches."""

from __future__ import annotations

import glob
import hashlib
import os
import stat
from pathlib import Path, PurePosixPath

from pipeline.core.errors import RecordError

MANIFEST_SUFFIX = ".manifest.json"
PARQUET_SUFFIX, QUERY_SUFFIX = ".parquet", ".sql"
_WILDCARDS = "*?["
INTERNAL = "_dropcast"


def real_path(path: Path) -> Path:
    """Return a path with links resolved; unlike resolve(), also for a loop of links or a name that is too long."""
    return Path(os.path.realpath(path))


def is_pattern(text: str) -> bool:
    """Return whether a path is a pattern, not a file whose name contains wildcard characters."""
    return bool(_split(text)[1])


def _split(text: str) -> tuple[Path, tuple[str, ...]]:
    """Split a path into its literal part and the part that is a pattern.

    A folder that exists is literal, even if its name contains wildcards.
    """
    path = Path(os.path.abspath(text))  # noqa: PTH100 - resolve() would follow links
    base = Path(path.anchor)
    for position, part in enumerate(path.parts[1:], start=1):
        if any(mark in part for mark in _WILDCARDS) and not os.path.exists(base / part):  # noqa: PTH110 - False for a name that is too long
            return base, path.parts[position:]
        base /= part
    return base, ()


def fixed_part(pattern: str) -> Path:
    """Return the folder below which a pattern's outputs keep their names: what precedes its first wildcard."""
    base, rest = _split(pattern)
    return base if rest else base.parent


def matching_files(pattern: str) -> list[Path]:
    """Return the files that match a pattern, sorted; a plain path is returned whether it exists or not."""
    base, rest = _split(pattern)
    if not rest:
        return [base]
    names = glob.iglob(str(Path(*rest)), root_dir=base, recursive=True)  # noqa: PTH207 - Path.glob has no root that is literal
    found = (base / name for name in names)
    return sorted(file for file in found if INTERNAL not in file.parts and _may_be_file(file))


def _may_be_file(path: Path) -> bool:
    """Return whether a path is a regular file or a broken link, not a folder, a pipe, a socket or a device."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return True  # the error is reported when the file is read


def output_name(file: Path, pattern: str) -> str:
    """Return a forecast's name below the output folder, from the input's path relative to the pattern's literal part.

    A manifest's own name is returned as it is.
    """
    return forecast_name(file.relative_to(fixed_part(pattern)).as_posix())


def forecast_name(name: str) -> str:
    """Return the name of the forecast of a file: the same, but for Parquet and queries, whose forecast is a CSV too."""
    return f"{name}.csv" if name.lower().endswith((PARQUET_SUFFIX, QUERY_SUFFIX)) else name


def receipts_place(source: str, output: str) -> str:
    """Return the name of the folder that holds all receipts of a source and an output."""
    return hashlib.sha256(f"{source}\n{output}".encode()).hexdigest()[:16]


def checked_output_name(name: str) -> str:
    """Return an output name from a manifest, validated.

    Raises:
        RecordError: PATH_NOT_ALLOWED if it is not a plain name below the output folder.
    """
    parts = PurePosixPath(name).parts
    if (
        not parts
        or name.startswith("/")
        or ".." in parts
        or parts[0] == INTERNAL
        or "\0" in name
        or not _can_be_written(name)
    ):
        raise RecordError(
            "PATH_NOT_ALLOWED",
            f"The output {name!r} is not a valid name below the output folder.",
            "Use a relative name such as sales/north.csv.",
            found=name,
        )
    return PurePosixPath(name).as_posix()


def _can_be_written(name: str) -> bool:
    try:
        return len(name.encode()) <= 1024 and all(len(part.encode()) <= 200 for part in PurePosixPath(name).parts)
    except UnicodeEncodeError:
        return False


def feeds_itself(pattern: str, output: Path) -> bool:
    """Return whether forecasts written below `output` would be read again by `pattern`."""
    base, root = real_path(fixed_part(pattern)), real_path(output)
    if root == base:
        return True
    return is_pattern(pattern) and "**" in pattern and root.is_relative_to(base)
